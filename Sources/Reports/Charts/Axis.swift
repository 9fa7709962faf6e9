import Foundation
import LockstepFiles

/// An axis: its round numbers, and where values lie between its ends.
struct Axis {
  /// The round numbers, in ascending order.
  let ticks: [Double]
  let low: Double
  let high: Double

  /// Creates an axis with about `count` round numbers that covers `low` to `high`.
  ///
  /// If it `isTight`, it ends exactly at `low` and `high`; otherwise at round numbers.
  init(from low: Double, to high: Double, count: Int, isTight: Bool = false) {
    let least = max(1e-9 * max(abs(low), abs(high)), 1e-300)
    let high = high - low >= least ? high : low + max(1, abs(low))
    let rough = (high - low) / Double(max(count, 1))
    let power = pow(10, floor(log10(rough)))
    let step = power * ([1, 2, 5].first { $0 * power >= rough * 0.6 } ?? 10)
    let first = isTight ? (low / step).rounded(.up) : (low / step).rounded(.down)
    let last = isTight ? (high / step).rounded(.down) : (high / step).rounded(.up)
    ticks = stride(from: first, through: last, by: 1).map { $0 * step }
    self.low = isTight ? low : first * step
    self.high = isTight ? high : last * step
    digits = max(0, Int((-log10(step) - 1e-9).rounded(.up)))
  }

  /// The number of decimals that tell the round numbers apart.
  private let digits: Int

  /// Where `value` lies, from 0 to 1.
  func position(_ value: Double) -> Double { (value - low) / (high - low) }

  /// A round number as text.
  func text(_ tick: Double) -> String { fixed(tick, digits) }

  /// Lines and numbers of a horizontal axis; the numbers' baseline is 15 pixels below `bottom`.
  func drawnAcross(from top: Double, to bottom: Double, unit: String) -> [SVGElement] {
    ticks.enumerated().flatMap { index, tick in
      let x = position(tick)
      let isLast = index == ticks.count - 1
      // The last number is wide, since its unit follows.
      let anchor = x < 0.03 ? "start" : x > (isLast ? 0.9 : 0.97) ? "end" : "middle"
      return [
        SVGElement.gridline(x: x, from: top, to: bottom),
        .label(
          text(tick) + (isLast ? " \(unit)" : ""), x: x, y: bottom + 15, anchor: anchor,
          style: "tick"),
      ]
    }
  }
}
