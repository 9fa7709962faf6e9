import LockstepFiles

/// Curves over the number of steps.
struct LineChart {
  /// One curve, together with single points.
  struct Series {
    /// What the curve stands for.
    let label: String
    /// The class that colours it.
    let style: String
    let line: [(step: Int, value: Double)]
    let points: [(step: Int, value: Double)]
  }

  let series: [Series]
  /// The factor from values to the axis: 100 to show shares in percent.
  var scale = 1.0
  var unit = ""

  private static func isDrawn(_ value: Double) -> Bool {
    value.magnitude <= Double(Float.greatestFiniteMagnitude)
  }

  /// The chart; nil if there is nothing to draw.
  ///
  /// Values that are not finite or exceed all 32-bit floats are left out.
  func chart(id: String, title: String, caption: String) -> Chart? {
    let all = series.flatMap { $0.line + $0.points }.filter { Self.isDrawn($0.value) }
    guard let last = all.map(\.step).max(), let first = all.map(\.step).min() else { return nil }
    let values = all.map { $0.value * scale }
    let height = 240.0
    let vertical = Axis(from: values.min() ?? 0, to: values.max() ?? 1, count: 5)
    let across = Axis(
      from: Double(first), to: Double(max(last, first + 1)), count: 5, isTight: true)
    func y(_ value: Double) -> Double { 20 + height * (1 - vertical.position(value * scale)) }

    var elements = vertical.ticks.flatMap { tick in
      [
        SVGElement.gridline(y: y(tick / scale)),
        .label(vertical.text(tick) + unit, y: y(tick / scale) - 3, style: "tick"),
      ]
    }
    elements += across.drawnAcross(from: 20 + height, to: 24 + height, unit: "steps")
    var marks = 0
    for one in series {
      // Curves are drawn with a width of 1000, and then stretched over the available width.
      let runs = one.line.split { !Self.isDrawn($0.value) }
      for run in runs where run.count > 1 {
        let points = run.map {
          SVGElement.number(1000 * across.position(Double($0.step))) + ","
            + SVGElement.number(y($0.value))
        }
        elements.append(
          SVGElement(
            "svg",
            [
              "x": "0", "y": "0", "width": "100%", "height": SVGElement.number(height + 44),
              "viewBox": "0 0 1000 \(SVGElement.number(height + 44))",
              "preserveAspectRatio": "none",
            ],
            [
              SVGElement(
                "polyline",
                [
                  "class": "mark curve \(one.style)", "points": points.joined(separator: " "),
                  "vector-effect": "non-scaling-stroke",
                ]
              ).titled(one.label)
            ]))
        marks += 1
      }
      let dots = one.points + runs.filter { $0.count == 1 }.flatMap { $0 }
      for point in dots where Self.isDrawn(point.value) {
        elements.append(
          SVGElement(
            "circle",
            [
              "class": "mark dot \(one.style)",
              "cx": SVGElement.percent(across.position(Double(point.step))),
              "cy": SVGElement.number(y(point.value)), "r": "4",
            ]
          ).titled(
            "\(one.label), step \(point.step): \(significant(point.value * scale))\(unit)"))
        marks += 1
      }
    }
    return Chart(
      id: id, title: title, caption: caption,
      legend: series.map { .init(line: $0.style, $0.label) }, height: height + 44, marks: marks,
      elements)
  }
}
