import Foundation
public import LockstepFiles
public import LockstepRecording
public import LockstepTraining

/// A step's row of `metrics.jsonl`, on rank 0.
public struct StepMetrics: Codable, Hashable, Sendable {
  /// The step's number, from 1.
  public let step: Int
  /// The epoch's number, from 1.
  public let epoch: Int
  /// The mean loss over the global batch, before the update.
  public let loss: Double
  /// The share of the global batch that was classified right.
  public let accuracy: Double
  /// The learning rate.
  public let learningRate: Double
  /// The samples of the global batch.
  public let samples: Int
  /// The step's duration, in milliseconds.
  public let step_ms: Double
  /// How long the rank was blocked in collectives, in milliseconds.
  public let blocked_ms: Double
  /// The traffic of statistics.
  public let statistics: TrafficSummary
  /// The traffic of gradients.
  public let gradients: TrafficSummary
  /// What came between the step and its processors; nil where nothing did.
  public let disturbed: StepDisturbance?
  /// The round of a comparison in which the step counts; nil where it does not, or there is none.
  public let round: Int?

  /// The row of a step.
  public init(_ result: StepResult) {
    (step, epoch, samples) = (result.step, result.epoch, result.samples)
    (loss, accuracy) = (result.loss, result.accuracy)
    learningRate = result.learningRate
    step_ms = Double(result.nanoseconds) / 1e6
    blocked_ms = result.blockedMilliseconds
    statistics = TrafficSummary(result.statistics)
    gradients = TrafficSummary(result.gradients)
    disturbed = result.disturbance.isNone ? nil : result.disturbance
    round = result.round
  }
}

extension StepMetrics {
  /// Whether a run can have written this: a row from a file may say anything.
  fileprivate var isPlausible: Bool {
    let counts = [
      step, epoch, samples, statistics.collectives, statistics.bytes, gradients.collectives,
      gradients.bytes,
    ]
    let times = [step_ms, blocked_ms, statistics.blocked_ms, gradients.blocked_ms]
    return counts.allSatisfy { RunMetrics.counts.contains($0) }
      && RunMetrics.counts.contains(disturbed?.rank ?? 0) && RunMetrics.counts.contains(round ?? 0)
      && times.allSatisfy { (0...1e12).contains($0) }
  }
}

/// An evaluation's row of `metrics.jsonl`.
public struct EvaluationMetrics: Codable, Hashable, Sendable {
  /// The steps taken before.
  public let step: Int
  /// The part of the data: "test".
  public let split: String
  /// The mean loss.
  public let loss: Double
  /// The share that was classified right.
  public let accuracy: Double
  /// The share of problems whose whole answer was right; nil where labels are no answers.
  public let exactMatch: Double?

  init(_ evaluation: Evaluation, step: Int) {
    (self.step, split) = (step, "test")
    (loss, accuracy, exactMatch) = (
      evaluation.loss, evaluation.accuracy, evaluation.exactMatch
    )
  }
}

/// What a run directory's `metrics.jsonl` holds.
public struct RunMetrics: Hashable, Sendable {
  /// The steps, in order.
  public private(set) var steps: [StepMetrics] = []
  /// The evaluations, in order.
  public private(set) var evaluations: [EvaluationMetrics] = []

  /// A line.
  enum Row {
    case step(StepMetrics)
    case evaluation(EvaluationMetrics)

    private struct Kind: Decodable { let split: String? }

    init(_ line: Data) throws {
      let decoder = JSONDecoder()
      decoder.nonConformingFloatDecodingStrategy = .convertFromString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
      if try decoder.decode(Kind.self, from: line).split == nil {
        let row = try decoder.decode(StepMetrics.self, from: line)
        guard row.isPlausible else { throw Implausible() }
        self = .step(row)
      } else {
        let row = try decoder.decode(EvaluationMetrics.self, from: line)
        guard RunMetrics.counts.contains(row.step) else { throw Implausible() }
        self = .evaluation(row)
      }
    }
  }

  private struct Implausible: Error {}

  /// Steps, samples and bytes, of which a few can be added.
  fileprivate static let counts = 0...1 << 50

  /// Reads the metrics of the run directory at `path`; a last line that a killed run did not end is
  /// left out.
  ///
  /// - Throws: ``ConfigurationError`` if there are none, or a line is damaged.
  public init(run path: String) throws(ConfigurationError) {
    let file = "\(path)/metrics.jsonl"
    guard let data = FileManager.default.contents(atPath: file) else {
      throw ConfigurationError(file, "no such file; a run directory has one")
    }
    let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    // What follows the last line's end is nothing, or the beginning of a line.
    for (number, line) in lines.dropLast().enumerated() {
      do {
        switch try Row(line) {
        case .step(let row): steps.append(row)
        case .evaluation(let row): evaluations.append(row)
        }
      } catch {
        throw ConfigurationError("\(file):\(number + 1)", "is damaged: no row of metrics")
      }
    }
  }
}
