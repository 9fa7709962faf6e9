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

/// What ranks add up once a step beside statistics and gradients, slot by slot.
struct StepSums {
  /// The slots, in the order of the sum's elements.
  enum Slot: Int, CaseIterable {
    /// The sum of the labels' losses.
    case loss
    /// How many labels were classified right.
    case correct
    /// How many ranks want to stop.
    case stopRequests
    /// How many ranks want a checkpoint.
    case checkpointRequests
  }

  private var values = [Double](repeating: 0, count: Slot.allCases.count)

  /// All zeros.
  init() {}

  /// The sums that came back.
  init(_ sums: Storage<Double>) { values = sums.copy(0..<Slot.allCases.count) }

  subscript(slot: Slot) -> Double {
    get { values[slot.rawValue] }
    set { values[slot.rawValue] = newValue }
  }

  /// What is asked, by this rank or, in the sums, by any.
  var requests: StepRequests {
    get { StepRequests(stop: self[.stopRequests] > 0, checkpoint: self[.checkpointRequests] > 0) }
    set {
      self[.stopRequests] = newValue.stop ? 1 : 0
      self[.checkpointRequests] = newValue.checkpoint ? 1 : 0
    }
  }

  /// The addends, to be sent.
  var storage: Storage<Double> { Storage(values) }
}
