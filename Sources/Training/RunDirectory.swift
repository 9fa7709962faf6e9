public import Datasets
import Foundation

/// The directory that a run's files are in.
///
/// Only rank 0 has one.
public final class RunDirectory {
  /// Where it is.
  public let path: String
  private let metrics: FileHandle

  /// Creates the directory with the resolved configuration in it, how the run was started on `ranks`
  /// ranks, and the vocabulary of its text.
  ///
  /// - Throws: ``ConfigurationError`` if there is something at `path`, or it cannot be made.
  public init(
    creating path: String, _ configuration: RunConfiguration, ranks: Int,
    vocabulary: Vocabulary? = nil
  ) throws {
    try Self.check(path)
    let yaml = try configuration.resolvedYAML
    let files = FileManager.default
    do {
      try files.createDirectory(atPath: "\(path)/checkpoints", withIntermediateDirectories: true)
      try Data(yaml.utf8).write(to: URL(fileURLWithPath: "\(path)/config.yaml"))
      try Data().write(to: URL(fileURLWithPath: "\(path)/metrics.jsonl"))
      try Data((try jsonDocument(LaunchRecord(ranks: ranks)) + "\n").utf8).write(
        to: URL(fileURLWithPath: "\(path)/launch.json"))
      if let vocabulary {
        try Data((try jsonDocument(vocabulary) + "\n").utf8).write(
          to: URL(fileURLWithPath: "\(path)/vocabulary.json"))
      }
      metrics = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(path)/metrics.jsonl"))
    } catch {
      throw ConfigurationError(path, "the run directory cannot be written: \(reason(error))")
    }
    self.path = path
  }

  /// Throws if there is something at `path`.
  public static func check(_ path: String) throws(ConfigurationError) {
    if FileManager.default.fileExists(atPath: path) {
      throw ConfigurationError(
        path, "the run directory exists; name another with --run-dir, or remove it")
    }
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

  /// Adds a step's row to the metrics.
  public func append(_ result: StepResult) throws { try append(StepMetrics(result)) }

  /// Adds an evaluation's row to the metrics.
  public func append(_ evaluation: Evaluation, step: Int) throws {
    try append(EvaluationMetrics(evaluation, step: step))
  }

  private func append(_ row: some Encodable) throws {
    try metrics.write(contentsOf: Data((try jsonLine(row) + "\n").utf8))
  }

  /// Writes the model's state as `checkpoints/step-N.safetensors`.
  public func write(_ state: StateDictionary, step: Int) throws {
    try state.write(to: "\(path)/checkpoints/step-\(step).safetensors")
  }

  /// Writes `summary.json`.
  public func write(_ summary: RunSummary) throws {
    try Data((try jsonDocument(summary) + "\n").utf8).write(
      to: URL(fileURLWithPath: "\(path)/summary.json"), options: .atomic)
  }
}

/// The system's own words for a file error.
func reason(_ error: any Error) -> String {
  let cocoa = error as NSError
  let underlying = cocoa.userInfo[NSUnderlyingErrorKey] as? NSError
  return (underlying ?? cocoa).localizedDescription
}
