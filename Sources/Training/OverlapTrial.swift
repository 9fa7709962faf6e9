package import LockstepAnalysis
package import LockstepNorms

/// Finds out in a run's first steps whether steps get shorter if weight gradients are computed while
/// statistics are in flight.
///
/// That depends on the network, and on how long ranks wait. Steps with and without overlap alternate, and
/// rank 0 compares them in pairs. Overlap stays off unless it is clearly faster.
package final class OverlapTrial {
  /// The result of the trial.
  package struct Finding: Sendable {
    /// Whether weight gradients are deferred from now on.
    package let overlaps: Bool
    /// The ratio of a step's time with overlap to that without.
    package let ratio: PairedRatio
  }

  /// The first steps of a process, which do not belong to the trial.
  private static let warmup = 4
  private static let pairs = 16

  /// How many steps pass until all ranks know the result: rank 0 announces it in the last one.
  package static let steps = warmup + 2 * pairs + 1

  /// Whether steps overlap; nil until that is decided.
  package private(set) var overlaps: Bool?
  package private(set) var finding: Finding?
  private var taken = 0
  private var half: Double?
  private var ratios: [Double] = []

  /// Begins a trial if the mode asks for one and there is another rank to wait for; else decides at once.
  package init(_ mode: StatisticsOverlap, ranks: Int, synchronizes: Bool) {
    switch mode {
    case .on: overlaps = true
    case .off: overlaps = false
    case .automatic: overlaps = ranks > 1 && synchronizes ? nil : false
    }
  }

  /// Whether the next step defers weight gradients.
  ///
  /// During the trial the Thue-Morse sequence decides. It favours neither side if times drift or if something
  /// recurs every few steps, such as a cold first step of a turn.
  package var next: Bool { overlaps ?? isWith(taken) }

  private func isWith(_ step: Int) -> Bool {
    let place = step - Self.warmup
    return (0..<2 * Self.pairs).contains(place) && place.nonzeroBitCount % 2 == 1
  }

  /// Adds a step; `milliseconds` is nil if it does not count, since it was disturbed or had a smaller batch.
  package func append(_ milliseconds: Double?) {
    defer { taken += 1 }
    let place = taken - Self.warmup
    guard overlaps == nil, (0..<2 * Self.pairs).contains(place) else { return }
    guard place % 2 == 1 else { return half = milliseconds }
    if let first = half, let second = milliseconds {
      ratios.append(isWith(taken) ? second / first : first / second)
    }
    half = nil
  }

  /// What rank 0 tells all ranks in the next step: 0 for no decision yet, 1 for no overlap, 2 for overlap.
  package var vote: Double {
    guard overlaps == nil, taken >= Self.warmup + 2 * Self.pairs else { return 0 }
    return isFaster ? 2 : 1
  }

  private var isFaster: Bool {
    !ratios.isEmpty && PairedRatio(ratios, comparisons: 1).verdict == .faster
  }

  /// Adopts the decision that rank 0 has told.
  package func decide(_ vote: Double) {
    guard overlaps == nil, vote > 0 else { return }
    overlaps = vote > 1
    if !ratios.isEmpty {
      finding = Finding(overlaps: vote > 1, ratio: PairedRatio(ratios, comparisons: 1))
    }
  }
}
