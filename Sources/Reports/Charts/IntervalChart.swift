import LockstepAnalysis

/// Ratios with their intervals, one below the other, and a vertical line at 1.
struct IntervalChart {
  /// One ratio.
  struct Row {
    /// What the ratio belongs to.
    let label: String
    /// The class that colours it.
    let style: String
    let ratio: PairedRatio
  }

  let rows: [Row]

  /// The chart of these ratios; `base` names what they are relative to.
  func chart(id: String, title: String, caption: String, base: String) -> Chart {
    let ratios = rows.map(\.ratio.ratio)
    let low = ratios.reduce(1.0) { min($0, $1.low) }
    let high = ratios.reduce(1.0) { max($0, $1.high) }
    let margin = max(0.005, (high - low) / 20)
    let axis = Axis(from: low - margin, to: high + margin, count: 5, isTight: true)
    let pitch = 40.0
    let bottom = pitch * Double(rows.count) + 4
    var elements: [SVGElement] = axis.drawnAcross(from: 0, to: bottom, unit: "× \(base)")
    let one = axis.position(1)
    elements.append(
      SVGElement(
        "line",
        [
          "class": "one", "x1": SVGElement.percent(one), "x2": SVGElement.percent(one), "y1": "0",
          "y2": SVGElement.number(bottom),
        ]))
    for (index, row) in rows.enumerated() {
      let (top, interval) = (pitch * Double(index), row.ratio.ratio)
      let y = top + 27
      elements.append(SVGElement.label(row.label, y: top + 14))
      elements.append(
        SVGElement.label(row.ratio.text, x: 1, y: top + 14, anchor: "end", style: "label value"))
      elements.append(
        SVGElement(
          "line",
          [
            "class": "curve interval \(row.style)",
            "x1": SVGElement.percent(axis.position(interval.low)),
            "x2": SVGElement.percent(axis.position(interval.high)), "y1": SVGElement.number(y),
            "y2": SVGElement.number(y),
          ]))
      elements.append(
        SVGElement(
          "circle",
          [
            "class": "mark dot \(row.style)",
            "cx": SVGElement.percent(axis.position(interval.median)), "cy": SVGElement.number(y),
            "r": "4",
          ]
        ).titled("\(row.label): \(row.ratio.text), \(row.ratio.rounds) rounds"))
    }
    return Chart(
      id: id, title: title, caption: caption, legend: [], height: bottom + 22, marks: rows.count,
      elements)
  }
}
