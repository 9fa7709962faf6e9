public import Datasets
import Foundation
import Measurement

/// The directory that a run's files are in.
///
/// Only rank 0 has one. No other process can write it until it is released.
public final class RunDirectory {
  /// Where it is.
  public let path: String
  /// Where its checkpoints are.
  public var checkpoints: CheckpointFolder { CheckpointFolder(run: path) }
  /// The steps of its metrics when it was opened.
  public let earlier: RunTally
  /// What was found that is not as it should be.
  public let warnings: [String]
  private let metrics: MetricsFile
  private let lock: RunLock

  /// Creates the directory with the resolved configuration in it, how the run was started on `ranks`
  /// ranks, and the vocabulary of its text.
  ///
  /// It appears under its name when all of that is in it.
  ///
  /// - Throws: ``ConfigurationError`` if there is something but an empty folder at `path`, or it cannot
  ///   be made.
  public init(
    creating path: String, _ configuration: RunConfiguration, ranks: Int,
    vocabulary: Vocabulary? = nil
  ) throws {
    if !Self.isEmptyFolder(path) { try Self.check(path) }
    let yaml = try configuration.resolvedYAML
    let files = FileManager.default
    let end = path.lastIndex { $0 != "/" } ?? path.startIndex
    let unfinished = "\(path[...end]).\(UUID().uuidString)\(OutputFile.suffix)"
    do {
      try files.createDirectory(
        atPath: "\(unfinished)/checkpoints", withIntermediateDirectories: true)
      try OutputFile.write(Data(yaml.utf8), path: "\(unfinished)/config.yaml")
      try Data().write(to: URL(fileURLWithPath: "\(unfinished)/metrics.jsonl"))
      try OutputFile.write(
        Data((try jsonDocument(LaunchRecord(ranks: ranks)) + "\n").utf8),
        path: "\(unfinished)/launch.json")
      if let vocabulary {
        try OutputFile.write(
          Data((try jsonDocument(vocabulary) + "\n").utf8), path: "\(unfinished)/vocabulary.json")
      }
      lock = try RunLock(unfinished)
      // In the place of an empty folder, too.
      guard unsafe rename(unfinished, path) == 0 else {
        throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
      }
      try OutputFile.synchronizeName(of: path)
      metrics = try MetricsFile(path: "\(path)/metrics.jsonl")
    } catch {
      try? files.removeItem(atPath: unfinished)
      throw ConfigurationError(path, "the run directory cannot be written: \(reason(error))")
    }
    (self.path, earlier, warnings) = (path, RunTally(), [])
  }

  /// Opens the directory of a run that goes on after `step` steps on `ranks` ranks: its metrics are cut
  /// back to there, and what only a run that ended has is removed.
  ///
  /// `lock` is the directory's, taken before `step` was chosen.
  ///
  /// - Throws: ``ConfigurationError`` if it cannot be written.
  init(
    resuming path: String, _ configuration: RunConfiguration, ranks: Int, after step: Int,
    lock: RunLock
  ) throws {
    let yaml = try configuration.resolvedYAML
    let files = FileManager.default
    self.lock = lock
    do {
      let folder = CheckpointFolder(run: path)
      try files.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
      folder.removeUnfinished()
      for name in (try? files.contentsOfDirectory(atPath: path)) ?? []
      where OutputFile.isUnfinished(name) {
        try files.removeItem(atPath: "\(path)/\(name)")
      }
      let (tally, damaged) = try MetricsFile.cutBack(path: "\(path)/metrics.jsonl", to: step)
      try? files.removeItem(atPath: "\(path)/summary.json")
      if try String(contentsOfFile: "\(path)/config.yaml", encoding: .utf8) != yaml {
        try OutputFile.write(Data(yaml.utf8), path: "\(path)/config.yaml")
      }
      var launch = LaunchRecord(run: path) ?? LaunchRecord(ranks: ranks)
      launch.resume(after: step, ranks: ranks)
      try OutputFile.write(
        Data((try jsonDocument(launch) + "\n").utf8), path: "\(path)/launch.json")
      metrics = try MetricsFile(path: "\(path)/metrics.jsonl")
      (self.path, earlier) = (path, tally)
      let isWhole = tally.steps == step && damaged == 0
      warnings =
        isWhole
        ? []
        : [
          "\(path)/metrics.jsonl: has \(tally.steps) of \(step) steps"
            + (damaged > 0 ? ", and \(damaged) damaged lines, which are left out" : "")
        ]
    } catch let error as OutputError {
      throw ConfigurationError(error.path, "cannot be written: \(error.reason)")
    } catch {
      throw ConfigurationError(path, "the run directory cannot be written: \(reason(error))")
    }
  }

  /// Throws if there is something at `path`.
  public static func check(_ path: String) throws(ConfigurationError) {
    if FileManager.default.fileExists(atPath: path) {
      throw ConfigurationError(
        path,
        "the run directory exists; name another with --run-dir, remove it, or go on with --resume")
    }
  }

  /// Whether there is a folder at `path` with nothing in it.
  static func isEmptyFolder(_ path: String) -> Bool {
    (try? FileManager.default.contentsOfDirectory(atPath: path).isEmpty) ?? false
  }

  /// `runs/NAME-TIME`, the time in UTC.
  public static func defaultPath(name: String) -> String {
    let format = Date.VerbatimFormatStyle(
      format: """
        \(year: .defaultDigits)\(month: .twoDigits)\(day: .twoDigits)-\
        \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased))\(minute: .twoDigits)\
        \(second: .twoDigits)
        """, timeZone: .gmt, calendar: Calendar(identifier: .gregorian))
    return "runs/\(name)-\(Date().formatted(format))"
  }

  /// The open file of metrics, to be made sure of on the disk.
  var metricsDescriptor: CInt { metrics.descriptor }

  /// Adds a step's row to the metrics.
  public func append(_ result: StepResult) throws { try metrics.append(StepMetrics(result)) }

  /// Adds an evaluation's row to the metrics.
  public func append(_ evaluation: Evaluation, step: Int) throws {
    try metrics.append(EvaluationMetrics(evaluation, step: step))
  }

  /// Writes `summary.json`.
  public func write(_ summary: RunSummary) throws {
    try OutputFile.write(
      Data((try jsonDocument(summary) + "\n").utf8), path: "\(path)/summary.json")
  }

  /// Lets others write it: nothing is written any more.
  func release() { lock.release() }
}

/// The system's own words for a file error.
func reason(_ error: any Error) -> String {
  let cocoa = error as NSError
  let underlying = cocoa.userInfo[NSUnderlyingErrorKey] as? NSError
  return (underlying ?? cocoa).localizedDescription
}
