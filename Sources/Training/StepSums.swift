import Collectives
import Tensors

/// What ranks ask of each other at a step's end.
public struct StepRequests: Hashable, Sendable {
  /// Whether the run is to be interrupted after the step.
  public var stop: Bool
  /// Whether a checkpoint is to be written after the step.
  public var checkpoint: Bool

  /// Requests, none unless they are given.
  public init(stop: Bool = false, checkpoint: Bool = false) {
    (self.stop, self.checkpoint) = (stop, checkpoint)
  }
}

/// What ranks add up once a step beside statistics and gradients, by name.
struct StepSums {
  private enum Slot {
    static let loss = 0
    static let correct = 1
    static let stopRequests = 2
    static let checkpointRequests = 3
    static let fingerprint = 4..<4 + FingerprintDigits.width
    static let count = fingerprint.upperBound
  }

  private var values = [Double](repeating: 0, count: Slot.count)

  /// This rank's part of the sums, all zero.
  init() {}

  /// The sums that came back.
  init(_ sums: Storage<Double>) { values = sums.copy(0..<Slot.count) }

  /// The sum of the labels' losses.
  var loss: Double {
    get { values[Slot.loss] }
    set { values[Slot.loss] = newValue }
  }

  /// How many labels were classified right.
  var correct: Double {
    get { values[Slot.correct] }
    set { values[Slot.correct] = newValue }
  }

  /// What is asked, by this rank or, in the sums, by any.
  var requests: StepRequests {
    get {
      StepRequests(
        stop: values[Slot.stopRequests] > 0, checkpoint: values[Slot.checkpointRequests] > 0)
    }
    set {
      values[Slot.stopRequests] = newValue.stop ? 1 : 0
      values[Slot.checkpointRequests] = newValue.checkpoint ? 1 : 0
    }
  }

  /// Adds what tells whether ranks have issued the same collectives.
  mutating func add(_ fingerprint: Fingerprint) {
    values.replaceSubrange(Slot.fingerprint, with: FingerprintDigits.addends(of: fingerprint))
  }

  /// Whether all of `ranks` ranks have issued the same collectives.
  func fingerprintsAgree(ranks: Int) -> Bool {
    FingerprintDigits.agree(values[Slot.fingerprint], ranks: ranks)
  }

  /// The addends, to be sent.
  var storage: Storage<Double> { Storage(values) }
}
