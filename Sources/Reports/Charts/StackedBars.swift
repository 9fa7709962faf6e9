import LockstepFiles

/// Horizontal bars of parts that add up, one below the other.
struct StackedBars {
  /// One bar.
  struct Row {
    /// What the bar stands for.
    let label: String
    /// The bar's figure as text, shown at the right.
    let value: String
    /// The parts, from the left.
    let parts: [Part]
    /// A thin bar below, which shows how much of the bar has some property.
    var under: Part?
  }

  /// A part of a bar.
  struct Part {
    /// The class that colours it.
    let style: String
    /// What the part stands for.
    let label: String
    /// The part's duration, in milliseconds.
    let milliseconds: Double
  }

  let rows: [Row]
  /// The height of a bar, in pixels.
  var thickness = 18.0

  /// The chart of these bars over one axis in milliseconds.
  func chart(
    id: String, title: String, caption: String, legend: [Chart.LegendEntry]
  ) -> Chart {
    let longest = rows.map { $0.parts.reduce(0) { $0 + $1.milliseconds } }.max() ?? 0
    let unders = rows.compactMap { $0.under?.milliseconds }
    let axis = Axis(
      from: 0, to: max(longest, unders.max() ?? 0), count: 4, isTight: true)
    let pitch = thickness + 22 + (unders.isEmpty ? 0 : 5)
    let bottom = pitch * Double(rows.count) + 4
    var elements = axis.drawnAcross(from: 0, to: bottom, unit: "ms")
    var marks = 0
    for (index, row) in rows.enumerated() {
      let top = pitch * Double(index)
      elements.append(.label(row.label, y: top + 14))
      elements.append(.label(row.value, x: 1, y: top + 14, anchor: "end", style: "label value"))
      var start = 0.0
      for part in row.parts where part.milliseconds > 0 {
        elements.append(
          bar(part, of: row, axis, from: start, y: top + 18, height: thickness))
        start += part.milliseconds
        marks += 1
      }
      if let under = row.under, under.milliseconds > 0 {
        elements.append(bar(under, of: row, axis, from: 0, y: top + 19 + thickness, height: 4))
        marks += 1
      }
    }
    return Chart(
      id: id, title: title, caption: caption, legend: legend, height: bottom + 22, marks: marks,
      elements)
  }

  private func bar(
    _ part: Part, of row: Row, _ axis: Axis, from start: Double, y: Double, height: Double
  ) -> SVGElement {
    .bar(
      part.style, x: axis.position(start), width: axis.position(part.milliseconds), y: y,
      height: height,
      title: "\(row.label): \(part.label) \(significant(part.milliseconds)) ms")
  }
}
