public import Datasets
import Foundation

/// The directory that a run's files are in.
///
/// Only rank 0 has one.
public final class RunDirectory {
  /// Where it is.
  public let path: String
  private let metrics: FileHandle

  /// Creates the directory with the resolved configuration in it, and the vocabulary of its text.
  ///
  /// - Throws: ``ConfigurationError`` if there is something at `path`, or it cannot be made.
  public init(
    creating path: String, _ configuration: RunConfiguration, vocabulary: Vocabulary? = nil
  ) throws {
    try Self.check(path)
    let yaml = try configuration.resolvedYAML
    let files = FileManager.default
    do {
      try files.createDirectory(atPath: "\(path)/checkpoints", withIntermediateDirectories: true)
      try Data(yaml.utf8).write(to: URL(fileURLWithPath: "\(path)/config.yaml"))
      try Data().write(to: URL(fileURLWithPath: "\(path)/metrics.jsonl"))
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

  private struct StepRow: Encodable {
    let step: Int
    let epoch: Int
    let loss: Double
    let accuracy: Double
    let learningRate: Double
    let samples: Int
    let step_ms: Double
    let blocked_ms: Double
    let statistics: TrafficSummary
    let gradients: TrafficSummary
  }

  private struct EvaluationRow: Encodable {
    let step: Int
    let split: String
    let loss: Double
    let accuracy: Double
    let exactMatch: Double?
  }

  /// Adds a step's row to the metrics.
  public func append(_ result: StepResult) throws {
    try append(
      StepRow(
        step: result.step, epoch: result.epoch, loss: result.loss, accuracy: result.accuracy,
        learningRate: result.learningRate, samples: result.samples,
        step_ms: Double(result.nanoseconds) / 1e6, blocked_ms: result.blockedMilliseconds,
        statistics: TrafficSummary(result.statistics),
        gradients: TrafficSummary(result.gradients)))
  }

  /// Adds an evaluation's row to the metrics.
  public func append(_ evaluation: Evaluation, step: Int) throws {
    try append(
      EvaluationRow(
        step: step, split: "test", loss: evaluation.loss, accuracy: evaluation.accuracy,
        exactMatch: evaluation.exactMatch))
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
