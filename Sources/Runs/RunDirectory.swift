import Foundation
public import LockstepCheckpoints
public import LockstepConfiguration
public import LockstepDatasets
public import LockstepFiles
public import LockstepTraining

/// The directory that holds a run's files.
///
/// Only rank 0 has one. No other process can write into it until it is released.
public final class RunDirectory {
  /// The path of the directory.
  public let path: String
  /// The folder of its checkpoints.
  public var checkpoints: CheckpointFolder { CheckpointFolder(run: path) }
  /// The steps that its metrics held when it was opened.
  public let earlier: RunTally
  /// The evaluations that its metrics held when it was opened.
  let evaluations: [EvaluationMetrics]
  /// What was found damaged or missing.
  public let warnings: [String]
  private let metrics: MetricsFile
  private let lock: RunLock

  /// Creates the directory with the resolved configuration, the record of how the run was started on `ranks`
  /// ranks, and the vocabulary of its text.
  ///
  /// A new folder gets its name only when it is complete. An empty folder that exists is filled in place: a
  /// mount point, a link or the current directory cannot be replaced. `config.yaml`, which makes it a run
  /// directory, is written last.
  ///
  /// - Throws: ``ConfigurationError`` if ``check(_:)`` does, or the directory cannot be created.
  public init(
    creating path: String, _ configuration: RunConfiguration, ranks: Int,
    library: String? = nil, vocabulary: Vocabulary? = nil
  ) throws {
    try Self.check(path)
    let yaml = try configuration.resolvedYAML
    func fill(_ folder: String) throws {
      try FileManager.default.createDirectory(
        atPath: "\(folder)/checkpoints", withIntermediateDirectories: true)
      try Data().write(to: URL(fileURLWithPath: "\(folder)/metrics.jsonl"))
      try OutputFile.write(
        Data((try jsonDocument(LaunchRecord(ranks: ranks, library: library)) + "\n").utf8),
        path: "\(folder)/launch.json")
      try Self.write(vocabulary, to: folder)
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

  /// Writes how a run's tokens are written, or removes what an earlier start wrote.
  private static func write(_ vocabulary: Vocabulary?, to folder: String) throws {
    let path = "\(folder)/vocabulary.json"
    if let vocabulary {
      try OutputFile.write(Data((try jsonDocument(vocabulary) + "\n").utf8), path: path)
    } else if FileManager.default.fileExists(atPath: path) {
      try FileManager.default.removeItem(atPath: path)
    }
  }

  /// Opens the directory of a run that continues after `step` steps on `ranks` ranks.
  ///
  /// Its metrics are cut back to that step, and the summary of a run that ended is removed. If the run
  /// `goesBack`, later checkpoints are removed, too. `lock` is the directory's lock, taken before `step` was
  /// chosen. A run that begins anew may have another text, whose `vocabulary` is written.
  ///
  /// - Throws: ``ConfigurationError`` if it cannot be written.
  init(
    resuming path: String, _ configuration: RunConfiguration, ranks: Int, library: String?,
    vocabulary: Vocabulary?, after step: Int, goesBack: Bool, lock: RunLock
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
      if step == 0 { try Self.write(vocabulary, to: path) }
      if try String(contentsOfFile: "\(path)/config.yaml", encoding: .utf8) != yaml {
        try OutputFile.write(Data(yaml.utf8), path: "\(path)/config.yaml")
      }
      var launch = LaunchRecord(run: path) ?? LaunchRecord(ranks: ranks, library: library)
      launch.resume(after: step, ranks: ranks, library: library)
      try OutputFile.write(
        Data((try jsonDocument(launch) + "\n").utf8), path: "\(path)/launch.json")
      metrics = try MetricsFile(path: "\(path)/metrics.jsonl")
      // This comes last, so that nothing is lost if the disk is full.
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

  /// Throws unless a run can begin at `path`.
  ///
  /// There must be nothing, or a folder that is empty but for the file system's own entries and what a run
  /// left that was killed at once.
  ///
  /// Without an `option` that names the folder, a program's own, errors speak of none.
  public static func check(_ path: String, option: String? = "--run-dir") throws(ConfigurationError)
  {
    let how = option.map { " with \($0)" } ?? ""
    guard !path.isEmpty else {
      throw ConfigurationError(
        option ?? "the run directory", "is empty, expected the path of a directory")
    }
    let files = FileManager.default
    var isFolder: ObjCBool = false
    guard unsafe files.fileExists(atPath: path, isDirectory: &isFolder) else {
      guard let target = try? files.destinationOfSymbolicLink(atPath: path) else { return }
      throw ConfigurationError(
        path,
        "is a link to \(target), which does not exist; make that folder, or name another\(how)"
      )
    }
    guard isFolder.boolValue else {
      throw ConfigurationError(path, "is not a folder; name another run directory\(how)")
    }
    let names: [String]
    do {
      names = try files.contentsOfDirectory(atPath: path)
    } catch {
      throw ConfigurationError(
        path, "cannot be listed: \(reason(error)); name another\(how)")
    }
    if names.contains("config.yaml") {
      throw option == nil
        ? ConfigurationError(path, "the run directory exists; name another, or remove it")
        : exists(path)
    }
    if let other = names.sorted().first(where: { !isNoRun($0, in: path) }) {
      throw ConfigurationError(
        path,
        "the folder is not empty: it holds \(other); name an empty one, or a new one\(option == nil ? "" : ",")\(how)"
      )
    }
  }

  /// The error of a new run whose directory already holds a run.
  static func exists(_ path: String) -> ConfigurationError {
    ConfigurationError(
      path,
      "the run directory exists; name another with --run-dir, remove it, or go on with --resume")
  }

  /// Whether the entry `name` of a folder without `config.yaml` is no obstacle to a new run.
  ///
  /// That is so if the file system made it, or a process that was killed while it created the directory.
  private static func isNoRun(_ name: String, in path: String) -> Bool {
    let files = FileManager.default
    // An empty folder and an empty file are created before everything else.
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

  /// Whether a new run can begin at `path`, so that there is none to resume.
  static func isFree(_ path: String) -> Bool {
    do {
      try check(path)
      return true
    } catch {
      return false
    }
  }

  /// The default run directory, `runs/NAME-TIME`, with the time in UTC.
  ///
  /// Characters of the name other than letters, digits, underscores and dots are replaced by hyphens.
  public static func defaultPath(name: String) -> String {
    let format = Date.VerbatimFormatStyle(
      format: """
        \(year: .defaultDigits)\(month: .twoDigits)\(day: .twoDigits)-\
        \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased))\(minute: .twoDigits)\
        \(second: .twoDigits)
        """, timeZone: .gmt, calendar: Calendar(identifier: .gregorian))
    let plain = String(name.map { $0.isLetter || $0.isNumber || "_.".contains($0) ? $0 : "-" })
    // A leading dot would hide the folder.
    var shown = plain.hasPrefix(".") ? "-" + plain.dropFirst() : plain
    // File systems allow 255 bytes, and while the folder is being filled its name is 45 bytes longer.
    while shown.utf8.count > 180 { shown.removeLast() }
    return "runs/\(shown)-\(Date().formatted(format))"
  }

  /// The open file of metrics, so that it can be flushed to the disk.
  var metricsDescriptor: CInt { metrics.descriptor }

  /// The `count` earlier evaluations with the least loss, among those whose checkpoint exists.
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

  /// Ends writing, and lets other processes write into the directory.
  func release() { lock.release() }
}

/// The operating system's own description of a file error.
func reason(_ error: any Error) -> String {
  if let error = error as? OutputError { return error.reason }
  let cocoa = error as NSError
  let underlying = cocoa.userInfo[NSUnderlyingErrorKey] as? NSError
  return systemReason(of: underlying ?? cocoa)
}
