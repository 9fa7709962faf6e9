package import LockstepAnalysis
package import LockstepNorms

/// Finds out in a run's first steps whether they get shorter where weight gradients are computed while
/// statistics are in flight: it depends on the network, and on how much there is to wait for.
///
/// Steps with and without it alternate, and rank 0 compares them in pairs. What is not clearly faster is not
/// done.
package final class OverlapTrial {
  /// What came of it.
  package struct Finding: Sendable {
    /// Whether weight gradients are deferred from now on.
    package let overlaps: Bool
    /// The time of a step with overlap over one without.
    package let ratio: PairedRatio
  }

  /// The first steps of a process are none of the trial.
  private static let warmup = 4
  private static let pairs = 16

  /// How many steps it takes, until all ranks know.
  package static let steps = warmup + 2 * pairs + 1

  /// The decision; nil while there is none.
  package private(set) var overlaps: Bool?
  package private(set) var finding: Finding?
  private var taken = 0
  private var half: Double?
  private var ratios: [Double] = []

  /// A trial, where the mode asks for one and there is another rank to wait for.
  package init(_ mode: StatisticsOverlap, ranks: Int, synchronizes: Bool) {
    switch mode {
    case .on: overlaps = true
    case .off: overlaps = false
    case .automatic: overlaps = ranks > 1 && synchronizes ? nil : false
    }
  }

  /// Whether the next step defers weight gradients: by the Thue-Morse sequence, so that neither what drifts
  /// nor what comes back every few steps, such as a cold first step of a turn, favours one.
  package var next: Bool { overlaps ?? isWith(taken) }

  private func isWith(_ step: Int) -> Bool {
    let place = step - Self.warmup
    return (0..<2 * Self.pairs).contains(place) && place.nonzeroBitCount % 2 == 1
  }

  /// Takes a step in; `milliseconds` is nil where it does not count: disturbed, or of a smaller batch.
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

  /// What rank 0 tells all ranks in the next step: 0 where it has nothing to tell, 1 for no overlap, 2 for
  /// overlap.
  package var vote: Double {
    guard overlaps == nil, taken >= Self.warmup + 2 * Self.pairs else { return 0 }
    return isFaster ? 2 : 1
  }

  private var isFaster: Bool {
    !ratios.isEmpty && PairedRatio(ratios, comparisons: 1).verdict == .faster
  }

  /// Takes in what rank 0 told.
  package func decide(_ vote: Double) {
    guard overlaps == nil, vote > 0 else { return }
    overlaps = vote > 1
    if !ratios.isEmpty {
      finding = Finding(overlaps: vote > 1, ratio: PairedRatio(ratios, comparisons: 1))
    }
  }
}
