import Foundation
public import LockstepCheckpoints
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles

/// What `--resume` finds in a run directory.
public struct Resumption: Sendable {
  /// Where a run begins.
  public enum Place: Sendable {
    /// The run begins at its first step, in a new directory.
    case newDirectory
    /// The run begins at its first step, in the directory of a run that wrote no checkpoint.
    case firstStep
    /// The run continues after the step of a checkpoint, which only rank 0 holds.
    case checkpoint(Checkpoint?)
    /// The run has ended, with this summary on rank 0.
    case end(RunSummary?)
  }

  /// Where the run begins.
  public let place: Place
  /// What is wrong with newer checkpoints, on rank 0.
  public let problems: [String]
  /// The configuration's changes that affect how the run trains from here on, on rank 0.
  public let changes: [String]
  /// Whether the run goes back to an earlier step than its newest checkpoint.
  let goesBack: Bool

  /// The lock of the directory of a resumed run, on rank 0.
  let lock: RunLock?

  /// A run in a new directory.
  public static let none = Resumption(.newDirectory)

  private init(
    _ place: Place, problems: [String] = [], changes: [String] = [], goesBack: Bool = false,
    lock: RunLock? = nil
  ) {
    (self.place, self.problems, self.changes) = (place, problems, changes)
    (self.goesBack, self.lock) = (goesBack, lock)
  }

  private var kind: Int64 {
    switch place {
    case .newDirectory: 0
    case .firstStep: 1
    case .checkpoint: 2
    case .end: 3
    }
  }

  /// Looks on rank 0 for the run directory at `path`, and for the checkpoint to resume from.
  ///
  /// That is the newest undamaged one, or that of the step `from`.
  ///
  /// Collective. All ranks throw the same `AgreedError`, or none does. It is thrown if `path` is no run
  /// directory, if its run differs from `configuration` in more than what may change, if all its checkpoints
  /// are damaged, or if there is no checkpoint of the step `from`.
  public static func find(
    _ path: String, _ configuration: RunConfiguration, data: DataSplit, from: Int? = nil,
    context: RankContext
  ) throws -> Resumption {
    let found = try context.agreeingAtLength {
      context.rank == 0
        ? try look(path, configuration, data: data, from: from, ranks: context.size) : .none
    }
    var kind = [found.kind]
    try context.control.broadcast(&kind, from: 0)
    if context.rank == 0 { return found }
    switch kind[0] {
    case 0: return .none
    case 1: return Resumption(.firstStep)
    case 2: return Resumption(.checkpoint(nil))
    default: return Resumption(.end(nil))
    }
  }

  private static func look(
    _ path: String, _ configuration: RunConfiguration, data: DataSplit, from: Int?, ranks: Int
  ) throws -> Resumption {
    let files = FileManager.default
    guard files.fileExists(atPath: path), !RunDirectory.isFree(path) else {
      guard let from else { return .none }
      throw ConfigurationError("--from \(from)", "there is no run in \(path) that could go back")
    }
    guard files.fileExists(atPath: "\(path)/config.yaml") else {
      throw ConfigurationError(
        path, "there is no run to resume: it has no config.yaml; name another with --run-dir")
    }
    // What is found here must not change before the run continues from it.
    let lock = try RunLock(path)
    let before = try RunConfiguration(path: "\(path)/config.yaml")
    let changes = try changes(configuration, from: before, in: path)
    let folder = CheckpointFolder(run: path)
    try checkFolder(folder)
    let (checkpoint, problems) =
      try from.map { (try read(folder, step: $0, of: configuration), []) }
      ?? newest(folder, of: configuration)
    guard let checkpoint else { return Resumption(.firstStep, changes: changes, lock: lock) }
    try checkBatch(configuration, checkpoint, ranks: ranks, in: path)
    guard data.matches(checkpoint.data, in: path) else {
      throw ConfigurationError(
        path,
        "these are not the data that the run has seen, so it would not go on with the same samples; "
          + "give it its own data, or begin a new run with --init-from")
    }
    let batch = configuration.globalBatch(ranks: ranks)
    let sampler = ShardedSampler(
      count: data.train.count, batch: batch, seed: configuration.seed,
      dropLast: configuration.data.dropLast)
    let total = configuration.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)
    guard total >= max(checkpoint.step, before.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch))
    else {
      throw ConfigurationError(
        path,
        "the run was to have \(before.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)) steps and has taken "
          + "\(checkpoint.step), but now it is to have \(total); its length may only grow")
    }
    if from == nil, checkpoint.step == total,
      let summary = (try? RunSummary.read(run: path)) ?? nil,
      summary.steps == total
    {
      return Resumption(.end(summary), problems: problems)
    }
    return Resumption(
      .checkpoint(checkpoint), problems: problems, changes: changes, goesBack: from != nil,
      lock: lock)
  }

  /// The keys that may change from one start of a run to the next without a message.
  ///
  /// They say how long the run is, what is kept of it, and where the data are; a digest identifies the data.
  private static let free = [
    "steps", "epochs", "evaluate", "checkpoint", "parallel.watchdogSeconds", "data.path",
  ]
  /// The keys that may change with a message, since they help if a run diverges; checkpoints hold
  /// float32 parameters in either precision.
  private static let remedies = [
    "optimizer.learningRate", "schedule", "clipNorm", "precision", "parallel.gradients",
  ]

  /// Describes the changes to report; throws if anything else than the allowed keys has changed.
  @discardableResult
  private static func changes(
    _ configuration: RunConfiguration, from before: RunConfiguration, in path: String
  ) throws -> [String] {
    func isOne(of keys: [String], _ difference: ConfigurationDifference) -> Bool {
      keys.contains { difference.key == $0 || difference.key.hasPrefix("\($0).") }
    }
    func words(_ differences: [ConfigurationDifference]) -> [String] {
      differences.map { difference in
        let values = difference.values.map { $0 ?? "nothing" }
        return "\(difference.key) was \(values[0]) and is \(values[1])"
      }
    }
    let all = try RunConfiguration.differences([before, configuration])
    let others = all.filter { !isOne(of: free + remedies, $0) }
    guard others.isEmpty else {
      throw ConfigurationError(
        path, "it holds a different run: \(words(others).joined(separator: "; "))")
    }
    return words(all.filter { isOne(of: remedies, $0) })
  }

  /// Reads the checkpoint of the step that a run has to go back to.
  private static func read(
    _ folder: CheckpointFolder, step: Int, of configuration: RunConfiguration
  ) throws -> Checkpoint {
    guard folder.steps.contains(step) else {
      let steps = folder.steps.map(String.init).joined(separator: ", ")
      throw ConfigurationError(
        "--from \(step)",
        "the run has checkpoints of \(steps.isEmpty ? "no step" : steps); name one of them")
    }
    let checkpoint = try folder.read(step: step)
    try check(checkpoint, of: configuration, in: folder)
    return checkpoint
  }

  /// Throws if a checkpoint belongs to another run.
  private static func check(
    _ checkpoint: Checkpoint, of configuration: RunConfiguration, in folder: CheckpointFolder
  ) throws(StateError) {
    do {
      let before = try RunConfiguration(
        yaml: checkpoint.configuration, name: "lockstep.configuration")
      try changes(configuration, from: before, in: folder.file(step: checkpoint.step))
    } catch {
      throw StateError(description: "\(error)")
    }
  }

  private static func checkFolder(_ folder: CheckpointFolder) throws(ConfigurationError) {
    let attributes = try? FileManager.default.attributesOfItem(atPath: folder.path)
    guard let kind = attributes?[.type] as? FileAttributeType else { return }
    guard kind == .typeDirectory else {
      throw ConfigurationError(
        folder.path, "is a link or a file, not a folder; checkpoints are not written through it")
    }
  }

  /// The newest checkpoint that can be used; one of another run is skipped like a damaged one.
  private static func newest(_ folder: CheckpointFolder, of configuration: RunConfiguration)
    throws -> (Checkpoint?, problems: [String])
  {
    do {
      return try folder.newest { checkpoint throws(StateError) in
        try check(checkpoint, of: configuration, in: folder)
      }
    } catch {
      throw ConfigurationError(folder.path, error.description)
    }
  }

  private static func checkBatch(
    _ configuration: RunConfiguration, _ checkpoint: Checkpoint, ranks: Int, in path: String
  ) throws(ConfigurationError) {
    let (before, now) = (
      configuration.globalBatch(ranks: checkpoint.ranks), configuration.globalBatch(ranks: ranks)
    )
    guard before == now else {
      throw ConfigurationError(
        path,
        "batchPerRank on \(checkpoint.ranks) rank(s) gave a batch of \(before), but on \(ranks) "
          + "it would give one of \(now); resume on \(checkpoint.ranks), or train with batch, which is "
          + "over all ranks")
    }
  }
}
