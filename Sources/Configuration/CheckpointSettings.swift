import LockstepFiles

/// When a run writes checkpoints, and how many it keeps.
public struct CheckpointSettings: Hashable, Sendable {
  /// When a checkpoint is written, in addition to the one at the end.
  public enum Cadence: Hashable, Sendable {
    /// After every n steps.
    case steps(Int)
    /// After every n epochs.
    case epochs(Int)
    /// After the first step that ends n seconds or more after the last checkpoint, on rank 0's clock.
    case seconds(Double)
  }

  /// When checkpoints are written.
  public var cadence = Cadence.seconds(600)
  /// How many of the newest checkpoints are kept.
  public var keep = 3
  /// How many checkpoints with the least loss in an evaluation are kept besides the newest.
  ///
  /// If this is above 0, an evaluation that is among the best so far causes a checkpoint.
  public var keepBest = 1
}

/// The `checkpoint` section.
extension CheckpointSettings: DescribedSection {
  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    let positive = ConfigurationLimits.count
    let cadences = ["everySteps", "everyEpochs", "everySeconds"]
    let given = coder.section.map { section in cadences.filter(section.has) } ?? []
    try coder.oneOf(
      [
        (
          "everySteps",
          { section throws(ConfigurationError) in
            Cadence.steps(try section.int("everySteps", in: positive))
          },
          { if case .steps(let count) = $0 { .of(count) } else { nil } }
        ),
        (
          "everyEpochs",
          { section throws(ConfigurationError) in
            Cadence.epochs(try section.int("everyEpochs", in: positive))
          },
          { if case .epochs(let count) = $0 { .of(count) } else { nil } }
        ),
        (
          "everySeconds",
          { section throws(ConfigurationError) in
            Cadence.seconds(try section.double("everySeconds", in: 0.001...1e9))
          },
          { if case .seconds(let seconds) = $0 { .of(seconds) } else { nil } }
        ),
      ], &cadence,
      both: given.count > 1
        ? "both \(coder.path).\(given[0]) and \(coder.path).\(given[1]) are given, expected one"
        : "",
      none: nil)
    try coder.int("keep", &keep, in: positive)
    try coder.int("keepBest", &keepBest, in: 0...positive.upperBound)
  }
}
