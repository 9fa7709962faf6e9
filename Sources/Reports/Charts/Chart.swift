/// A drawing with its heading, legend and caption, as the page shows it.
///
/// Drawings have no fixed width: horizontal positions are shares of the available width. Heights and text
/// sizes are in pixels, so that text has the same size on a phone and on a wide screen.
struct Chart {
  /// The drawing's name in the page, by which tests find it.
  let id: String
  /// What is drawn.
  let title: String
  /// How to read the chart, and what its figures are.
  let caption: String
  /// What the colours stand for.
  let legend: [LegendEntry]
  /// The drawing.
  let svg: String

  /// One entry of a legend.
  struct LegendEntry {
    /// A small drawing of the mark.
    let swatch: String
    /// What the mark stands for.
    let label: String

    /// The entry of a filled area.
    init(fill style: String, _ label: String) {
      self.init(
        SVGElement("rect", ["class": style, "width": "14", "height": "12"]), label)
    }

    /// The entry of a line.
    init(line style: String, _ label: String) {
      self.init(
        SVGElement(
          "line", ["class": "curve \(style)", "x1": "0", "x2": "28", "y1": "6", "y2": "6"]), label,
        width: 28)
    }

    private init(_ mark: SVGElement, _ label: String, width: Int = 14) {
      swatch =
        SVGElement(
          "svg", ["width": "\(width)", "height": "12", "aria-hidden": "true"], [mark]
        ).markup
      self.label = label
    }
  }

  /// Puts a chart together; `marks` is how many of the drawn elements stand for data.
  init(
    id: String, title: String, caption: String, legend: [LegendEntry], height: Double, marks: Int,
    _ elements: [SVGElement]
  ) {
    (self.id, self.title, self.caption, self.legend) = (id, title, caption, legend)
    svg =
      SVGElement(
        "svg",
        [
          "id": id, "class": "chart", "role": "img", "aria-label": title, "width": "100%",
          "height": SVGElement.number(height), "data-marks": "\(marks)",
        ], elements
      ).markup
  }
}
