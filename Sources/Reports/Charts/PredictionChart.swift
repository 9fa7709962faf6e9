import Foundation
import LockstepFiles

/// Step times over the number of ranks, on a logarithmic axis.
struct PredictionChart {
  /// The predictions of one norm.
  struct Series {
    /// What the curve stands for.
    let label: String
    /// The class that colours it.
    let style: String
    let points: [Point]
  }

  /// A predicted step, in milliseconds.
  struct Point {
    package let ranks: Int
    let stepMilliseconds: Double
    let low: Double
    let high: Double
  }

  let series: [Series]

  /// The chart of these steps.
  func chart(id: String, title: String, caption: String) -> Chart {
    let all = series.flatMap(\.points)
    let height = 220.0
    let vertical = Axis(from: 0, to: all.map(\.high).max() ?? 1, count: 5)
    let counts = Set(all.map(\.ranks)).sorted()
    let ends = (log(Double(counts.first ?? 1)), log(Double(counts.last ?? 2)))
    // Both ends leave room for half of a mark.
    func x(_ ranks: Int) -> Double {
      0.04 + 0.92 * (log(Double(ranks)) - ends.0) / max(ends.1 - ends.0, 1e-9)
    }
    func y(_ value: Double) -> Double { 20 + height * (1 - vertical.position(value)) }

    var elements = vertical.ticks.flatMap { tick in
      [
        SVGElement.gridline(y: y(tick)),
        .label(vertical.text(tick) + " ms", y: y(tick) - 3, style: "tick"),
      ]
    }
    elements += counts.enumerated().map { index, count in
      let isLast = index == counts.count - 1
      return .label(
        counted(Double(count)) + (isLast ? " ranks" : ""), x: isLast ? 1 : x(count),
        y: 20 + height + 15, anchor: isLast ? "end" : "middle", style: "tick")
    }
    var marks = 0
    for one in series {
      for (a, b) in zip(one.points, one.points.dropFirst()) {
        elements.append(
          Self.line(one.style, x(a.ranks), y(a.stepMilliseconds), x(b.ranks), y(b.stepMilliseconds))
        )
      }
      for point in one.points {
        elements.append(
          Self.line(
            one.style + " interval", x(point.ranks), y(point.high), x(point.ranks), y(point.low)))
        elements.append(
          SVGElement(
            "circle",
            [
              "class": "mark dot \(one.style)", "cx": SVGElement.percent(x(point.ranks)),
              "cy": SVGElement.number(y(point.stepMilliseconds)), "r": "4",
            ]
          ).titled(
            "\(one.label), \(counted(Double(point.ranks))) ranks: \(fixed(point.stepMilliseconds, 2)) ms "
              + "[\(fixed(point.low, 2)), \(fixed(point.high, 2))]"))
        marks += 1
      }
    }
    return Chart(
      id: id, title: title, caption: caption,
      legend: series.map { .init(line: $0.style, $0.label) }, height: height + 44, marks: marks,
      elements)
  }

  private static func line(_ style: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double)
    -> SVGElement
  {
    SVGElement(
      "line",
      [
        "class": "curve \(style)", "x1": SVGElement.percent(x1), "x2": SVGElement.percent(x2),
        "y1": SVGElement.number(y1), "y2": SVGElement.number(y2),
      ])
  }
}
