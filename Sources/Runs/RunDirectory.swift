import Foundation
public import LockstepCheckpoints
public import LockstepConfiguration
public import LockstepDatasets
public import LockstepFiles
public import LockstepTraining

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
  /// The evaluations of its metrics when it was opened.
  let evaluations: [EvaluationMetrics]
  /// What was found that is not as it should be.
  public let warnings: [String]
  private let metrics: MetricsFile
  private let lock: RunLock

  /// Creates the directory with the resolved configuration in it, how the run was started on `ranks`
  /// ranks, and the vocabulary of its text.
  ///
  /// A new folder appears under its name when all of that is in it. One that is there and empty is filled
  /// where it is, since a mount point, a link, or the folder that one stands in cannot be replaced;
  /// `config.yaml`, which makes it a run directory, comes last.
  ///
  /// - Throws: ``ConfigurationError`` if ``check(_:)`` does, or it cannot be made.
  public init(
    creating path: String, _ configuration: RunConfiguration, ranks: Int,
    vocabulary: Vocabulary? = nil
  ) throws {
    try Self.check(path)
    let yaml = try configuration.resolvedYAML
    func fill(_ folder: String) throws {
      try FileManager.default.createDirectory(
        atPath: "\(folder)/checkpoints", withIntermediateDirectories: true)
      try Data().write(to: URL(fileURLWithPath: "\(folder)/metrics.jsonl"))
      try OutputFile.write(
        Data((try jsonDocument(LaunchRecord(ranks: ranks)) + "\n").utf8),
        path: "\(folder)/launch.json")
      let words = "\(folder)/vocabulary.json"
      if let vocabulary {
        try OutputFile.write(Data((try jsonDocument(vocabulary) + "\n").utf8), path: words)
      } else if FileManager.default.fileExists(atPath: words) {
        try FileManager.default.removeItem(atPath: words)
      }
      try OutputFile.write(Data(yaml.utf8), path: "\(folder)/config.yaml")
    }
    do {
      if FileManager.default.fileExists(atPath: path) {
        lock = try RunLock(path)
        // Another process may have been first.
        try Self.check(path)
        try fill(path)
      } else {
        let end = path.lastIndex { $0 != "/" } ?? path.startIndex
        let unfinished = "\(path[...end]).\(UUID().uuidString)\(OutputFile.suffix)"
        do {
          try fill(unfinished)
          lock = try RunLock(unfinished)
          guard unsafe rename(unfinished, path) == 0 else {
            // Another process may have been first.
            throw [EEXIST, ENOTEMPTY].contains(errno)
              ? Self.exists(path) : POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
          }
        } catch {
          try? FileManager.default.removeItem(atPath: unfinished)
          throw error
        }
      }
      try OutputFile.synchronizeName(of: path)
      metrics = try MetricsFile(path: "\(path)/metrics.jsonl")
    } catch let error as ConfigurationError {
      throw error
    } catch {
      throw ConfigurationError(
        path,
        "the run directory cannot be written: \(reason(error)); name another with --run-dir")
    }
    (self.path, earlier, evaluations, warnings) = (path, RunTally(), [], [])
  }

  /// Opens the directory of a run that goes on after `step` steps on `ranks` ranks: its metrics are cut
  /// back to there, and what only a run that ended has is removed; where it `goesBack`, later checkpoints
  /// too.
  ///
  /// `lock` is the directory's, taken before `step` was chosen.
  ///
  /// - Throws: ``ConfigurationError`` if it cannot be written.
  init(
    resuming path: String, _ configuration: RunConfiguration, ranks: Int, after step: Int,
    goesBack: Bool, lock: RunLock
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
      let (tally, evaluations, damaged) = try MetricsFile.cutBack(
        path: "\(path)/metrics.jsonl", to: step)
      try? files.removeItem(atPath: "\(path)/summary.json")
      if try String(contentsOfFile: "\(path)/config.yaml", encoding: .utf8) != yaml {
        try OutputFile.write(Data(yaml.utf8), path: "\(path)/config.yaml")
      }
      var launch = LaunchRecord(run: path) ?? LaunchRecord(ranks: ranks)
      launch.resume(after: step, ranks: ranks)
      try OutputFile.write(
        Data((try jsonDocument(launch) + "\n").utf8), path: "\(path)/launch.json")
      metrics = try MetricsFile(path: "\(path)/metrics.jsonl")
      // Last: where the disk is full, nothing is lost.
      if goesBack { folder.remove(after: step) }
      (self.path, earlier, self.evaluations) = (path, tally, evaluations)
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

  /// Throws unless a run can begin at `path`: there is nothing, or a folder with nothing in it but what the
  /// file system or a run that was killed at once left there.
  public static func check(_ path: String) throws(ConfigurationError) {
    let files = FileManager.default
    var isFolder: ObjCBool = false
    guard unsafe files.fileExists(atPath: path, isDirectory: &isFolder) else {
      guard let target = try? files.destinationOfSymbolicLink(atPath: path) else { return }
      throw ConfigurationError(
        path,
        "is a link to \(target), where there is nothing; make that folder, or name another with --run-dir"
      )
    }
    guard isFolder.boolValue else {
      throw ConfigurationError(path, "is no folder; name another run directory with --run-dir")
    }
    let names: [String]
    do {
      names = try files.contentsOfDirectory(atPath: path)
    } catch {
      throw ConfigurationError(
        path, "cannot be looked into: \(reason(error)); name another with --run-dir")
    }
    if names.contains("config.yaml") { throw exists(path) }
    if let other = names.sorted().first(where: { !isNoRun($0, in: path) }) {
      throw ConfigurationError(
        path,
        "the folder is not empty: it holds \(other); name an empty one, or a new one, with --run-dir"
      )
    }
  }

  /// What is wrong where a run directory is to be and there is one.
  static func exists(_ path: String) -> ConfigurationError {
    ConfigurationError(
      path,
      "the run directory exists; name another with --run-dir, remove it, or go on with --resume")
  }

  /// Whether what stands under `name` in a folder without `config.yaml` is no obstacle to a run: the file
  /// system's own, or what a process left that was killed while it made the directory.
  private static func isNoRun(_ name: String, in path: String) -> Bool {
    let files = FileManager.default
    // A folder and a file that are empty come before all else.
    func isBegun() -> Bool {
      let metrics = try? files.attributesOfItem(atPath: "\(path)/metrics.jsonl")
      return metrics?[.type] as? FileAttributeType == .typeRegular
        && (metrics?[.size] as? NSNumber)?.intValue == 0 && isEmpty("checkpoints")
    }
    func isEmpty(_ name: String) -> Bool {
      (try? files.contentsOfDirectory(atPath: "\(path)/\(name)").isEmpty) ?? false
    }
    switch name {
    case "lost+found": return true
    case "launch.json", "vocabulary.json", "metrics.jsonl": return isBegun()
    case "checkpoints": return isEmpty(name)
    default: return OutputFile.isUnfinished(name)
    }
  }

  /// Whether a run can begin at `path`, and not go on.
  static func isFree(_ path: String) -> Bool {
    do {
      try check(path)
      return true
    } catch {
      return false
    }
  }

  /// `runs/NAME-TIME`, the time in UTC; what is no letter, digit, underscore or dot in the name is a hyphen
  /// there.
  public static func defaultPath(name: String) -> String {
    let format = Date.VerbatimFormatStyle(
      format: """
        \(year: .defaultDigits)\(month: .twoDigits)\(day: .twoDigits)-\
        \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased))\(minute: .twoDigits)\
        \(second: .twoDigits)
        """, timeZone: .gmt, calendar: Calendar(identifier: .gregorian))
    let plain = String(name.map { $0.isLetter || $0.isNumber || "_.".contains($0) ? $0 : "-" })
    // A leading dot would hide it.
    var shown = plain.hasPrefix(".") ? "-" + plain.dropFirst() : plain
    // File systems take 255 bytes, and a name in the making is longer by 45.
    while shown.utf8.count > 180 { shown.removeLast() }
    return "runs/\(shown)-\(Date().formatted(format))"
  }

  /// The open file of metrics, to be made sure of on the disk.
  var metricsDescriptor: CInt { metrics.descriptor }

  /// The steps of the `count` earlier evaluations with the least loss of which there is a checkpoint.
  func best(_ count: Int) -> [(step: Int, loss: Double)] {
    let steps = Set(checkpoints.steps)
    let kept = evaluations.filter { steps.contains($0.step) && $0.loss.isFinite }
      .sorted { ($0.loss, $0.step) < ($1.loss, $1.step) }
    return kept.prefix(count).map { ($0.step, $0.loss) }
  }

  /// Adds a step's row to the metrics.
  public func append(_ result: StepResult) throws { try metrics.append(result) }

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
  if let error = error as? OutputError { return error.reason }
  let cocoa = error as NSError
  let underlying = cocoa.userInfo[NSUnderlyingErrorKey] as? NSError
  return systemReason(of: underlying ?? cocoa)
}
