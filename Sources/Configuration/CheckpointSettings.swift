import LockstepFiles

/// When a run writes checkpoints, and how many it keeps.
public struct CheckpointSettings: Hashable, Sendable {
  /// When a checkpoint is written, besides at the end.
  public enum Cadence: Hashable, Sendable {
    /// After every n steps.
    case steps(Int)
    /// After every n epochs.
    case epochs(Int)
    /// After the step in which a given number of seconds have passed since the last one, on rank 0's clock.
    case seconds(Double)
  }

  /// When.
  public var cadence = Cadence.seconds(600)
  /// How many of the newest are kept.
  public var keep = 3
  /// How many of those with the least loss in an evaluation are kept beside them; where this is above 0, an
  /// evaluation that is among the best so far makes a checkpoint.
  public var keepBest = 1

  /// Decodes the `checkpoint` section.
  init(_ node: ConfigurationNode, path: String) throws(ConfigurationError) {
    let cadences = ["everySteps", "everyEpochs", "everySeconds"]
    let section = try ConfigurationSection(node, path: path, keys: cadences + ["keep", "keepBest"])
    let given = cadences.filter(section.has)
    guard given.count < 2 else {
      throw ConfigurationError(
        section.place(given[1]),
        "both \(path).\(given[0]) and \(path).\(given[1]) are given, expected one")
    }
    let positive = ConfigurationLimits.count
    switch given.first {
    case "everySteps": cadence = .steps(try section.int("everySteps", in: positive))
    case "everyEpochs": cadence = .epochs(try section.int("everyEpochs", in: positive))
    case "everySeconds": cadence = .seconds(try section.double("everySeconds", in: 0.001...1e9))
    default: break
    }
    keep = try section.int("keep", default: keep, in: positive)
    keepBest = try section.int("keepBest", default: keepBest, in: 0...positive.upperBound)
  }
}
