package import LockstepCollectives
package import LockstepRecording
package import LockstepTensors

/// What ranks ask each other for at the end of a step.
public struct StepRequests: Hashable, Sendable {
  /// Whether the run is to be interrupted after the step.
  public var stop: Bool
  /// Whether a checkpoint is to be written after the step.
  public var checkpoint: Bool

  /// Creates requests; there are none by default.
  public init(stop: Bool = false, checkpoint: Bool = false) {
    (self.stop, self.checkpoint) = (stop, checkpoint)
  }
}

/// What ranks sum once per step besides statistics and gradients, by name.
package struct StepSums {
  private enum Slot {
    package static let loss = 0
    package static let correct = 1
    static let stopRequests = 2
    static let checkpointRequests = 3
    static let preempted = 4
    static let faulted = 5
    static let stolen = 6
    static let disturbedRanks = 7
    /// The sum of the disturbed ranks' numbers, counted from 1; it identifies the rank if there is only one.
    static let disturbedNumbers = 8
    /// Set by rank 0 alone.
    package static let overlapVote = 9
    static let fingerprint = 10..<10 + FingerprintDigits.width
    static let count = fingerprint.upperBound
  }

  private var values = [Double](repeating: 0, count: Slot.count)

  /// This rank's part of the sums, all zero.
  package init() {}

  /// The sums that came back.
  package init(_ sums: Storage<Double>) { values = sums.copy(0..<Slot.count) }

  /// The sum of the labels' losses.
  package var loss: Double {
    get { values[Slot.loss] }
    set { values[Slot.loss] = newValue }
  }

  /// How many labels were predicted correctly.
  package var correct: Double {
    get { values[Slot.correct] }
    set { values[Slot.correct] = newValue }
  }

  /// What this rank asks for; in the sums, what any rank asks for.
  package var requests: StepRequests {
    get {
      StepRequests(
        stop: values[Slot.stopRequests] > 0, checkpoint: values[Slot.checkpointRequests] > 0)
    }
    set {
      values[Slot.stopRequests] = newValue.stop ? 1 : 0
      values[Slot.checkpointRequests] = newValue.checkpoint ? 1 : 0
    }
  }

  /// Rank 0's vote on computing weight gradients while statistics are in flight.
  package var overlapVote: Double {
    get { values[Slot.overlapVote] }
    set { values[Slot.overlapVote] = newValue }
  }

  /// Adds what has disturbed this rank's step.
  package mutating func add(_ causes: StepDisturbance.Causes, rank: Int) {
    values[Slot.preempted] += causes.contains(.preempted) ? 1 : 0
    values[Slot.faulted] += causes.contains(.faulted) ? 1 : 0
    values[Slot.stolen] += causes.contains(.stolen) ? 1 : 0
    values[Slot.disturbedRanks] += causes.isEmpty ? 0 : 1
    values[Slot.disturbedNumbers] += causes.isEmpty ? 0 : Double(rank + 1)
  }

  /// What has disturbed the step on any rank.
  package var disturbance: StepDisturbance {
    var causes: StepDisturbance.Causes = []
    if values[Slot.preempted] > 0 { causes.insert(.preempted) }
    if values[Slot.faulted] > 0 { causes.insert(.faulted) }
    if values[Slot.stolen] > 0 { causes.insert(.stolen) }
    let isOne = values[Slot.disturbedRanks] == 1
    return StepDisturbance(causes, rank: isOne ? Int(values[Slot.disturbedNumbers]) - 1 : nil)
  }

  /// Adds this rank's fingerprint, from which the sums tell whether ranks have issued the same collectives.
  package mutating func add(_ fingerprint: Fingerprint) {
    values.replaceSubrange(Slot.fingerprint, with: FingerprintDigits.addends(of: fingerprint))
  }

  /// Whether all of `ranks` ranks have issued the same collectives.
  package func fingerprintsAgree(ranks: Int) -> Bool {
    FingerprintDigits.agree(values[Slot.fingerprint], ranks: ranks)
  }

  /// The addends, to be sent.
  package var storage: Storage<Double> { Storage(values) }
}
