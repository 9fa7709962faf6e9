import Collectives
import DataParallel
public import Datasets
import Foundation

/// What `--resume` finds in a run directory.
public struct Resumption: Sendable {
  /// Where a run begins.
  public enum Place: Sendable {
    /// At its first step, in a new directory.
    case newDirectory
    /// At its first step, in the directory of a run that wrote no checkpoint.
    case firstStep
    /// After the step of a checkpoint, which rank 0 alone holds.
    case checkpoint(Checkpoint?)
    /// Nowhere: it has ended, with this summary on rank 0.
    case end(RunSummary?)
  }

  /// Where.
  public let place: Place
  /// What is wrong with newer checkpoints, on rank 0.
  public let problems: [String]

  /// The lock of the directory that is gone on in, on rank 0.
  let lock: RunLock?

  /// A run in a new directory.
  public static let none = Resumption(.newDirectory)

  private init(_ place: Place, problems: [String] = [], lock: RunLock? = nil) {
    (self.place, self.problems, self.lock) = (place, problems, lock)
  }

  private var kind: Int64 {
    switch place {
    case .newDirectory: 0
    case .firstStep: 1
    case .checkpoint: 2
    case .end: 3
    }
  }

  /// Looks for the run directory at `path` with rank 0's eyes, and for its newest checkpoint that is
  /// not damaged.
  ///
  /// Collective. All ranks throw the same `AgreedError`, or none does: if `path` is something else, the
  /// run in it is another than `configuration`'s by more than its length, its evaluations and its
  /// checkpoints, or if all its checkpoints are damaged.
  public static func find(
    _ path: String, _ configuration: RunConfiguration, data: DataSplit, context: RankContext
  ) throws -> Resumption {
    let found = try context.agreeingAtLength {
      context.rank == 0 ? try look(path, configuration, data: data, ranks: context.size) : .none
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
    _ path: String, _ configuration: RunConfiguration, data: DataSplit, ranks: Int
  ) throws -> Resumption {
    let files = FileManager.default
    guard files.fileExists(atPath: path), !RunDirectory.isEmptyFolder(path) else { return .none }
    guard files.fileExists(atPath: "\(path)/config.yaml") else {
      throw ConfigurationError(
        path, "there is no run to resume: it has no config.yaml; name another with --run-dir")
    }
    // What is found has to stay as it is until the run goes on from it.
    let lock = try RunLock(path)
    let before = try RunConfiguration(path: "\(path)/config.yaml")
    try check(configuration, goesOnFrom: before, in: path)
    let folder = CheckpointFolder(run: path)
    try checkFolder(folder)
    let (checkpoint, problems) = try newest(folder, of: configuration)
    guard let checkpoint else { return Resumption(.firstStep, lock: lock) }
    try checkBatch(configuration, checkpoint, ranks: ranks, in: path)
    guard checkpoint.data == data.digest else {
      throw ConfigurationError(
        path,
        "the data are not those that the run has seen, so that it would not go on with the same samples; "
          + "give it its data, or begin a run with --init-from")
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
        "the run had \(before.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)) steps and has taken "
          + "\(checkpoint.step), and is to have \(total) now; its length may only grow")
    }
    if checkpoint.step == total, let summary = (try? RunSummary.read(run: path)) ?? nil,
      summary.steps == total
    {
      return Resumption(.end(summary), problems: problems)
    }
    return Resumption(.checkpoint(checkpoint), problems: problems, lock: lock)
  }

  /// What may change from one start of a run to the next.
  private static let free = [
    "steps", "epochs", "evaluate", "checkpoint", "parallel.watchdogSeconds",
  ]

  private static func check(
    _ configuration: RunConfiguration, goesOnFrom before: RunConfiguration, in path: String
  ) throws {
    let others = try RunConfiguration.differences([before, configuration]).filter {
      difference in
      !free.contains { difference.key == $0 || difference.key.hasPrefix("\($0).") }
    }
    guard others.isEmpty else {
      let list = others.map { difference in
        let values = difference.values.map { $0 ?? "nothing" }
        return "\(difference.key) was \(values[0]) and is \(values[1])"
      }
      throw ConfigurationError(
        path, "the run in it is another one: \(list.joined(separator: "; "))")
    }
  }

  private static func checkFolder(_ folder: CheckpointFolder) throws(ConfigurationError) {
    let attributes = try? FileManager.default.attributesOfItem(atPath: folder.path)
    guard let kind = attributes?[.type] as? FileAttributeType else { return }
    guard kind == .typeDirectory else {
      throw ConfigurationError(
        folder.path, "is no folder but a link or a file; checkpoints are not written through it")
    }
  }

  /// The newest checkpoint that can be used: one of another run is as good as a damaged one.
  private static func newest(_ folder: CheckpointFolder, of configuration: RunConfiguration)
    throws -> (Checkpoint?, problems: [String])
  {
    do {
      return try folder.newest { checkpoint throws(StateError) in
        do {
          let before = try RunConfiguration(
            yaml: checkpoint.configuration, name: "lockstep.configuration")
          try check(configuration, goesOnFrom: before, in: folder.file(step: checkpoint.step))
        } catch {
          throw StateError(description: "\(error)")
        }
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
        "batchPerRank on \(checkpoint.ranks) rank(s) was a batch of \(before), and on \(ranks) "
          + "would be one of \(now); resume on \(checkpoint.ranks), or train with batch, which is "
          + "over all ranks")
    }
  }
}
