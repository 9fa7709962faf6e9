import Foundation
import LockstepCollectives
import LockstepDataParallel
public import LockstepFiles
public import LockstepRecording
public import LockstepTraining

/// A step's row of `metrics.jsonl`, written by rank 0 under the file's own keys.
///
/// Properties that the file does not hold have default values after reading.
extension StepResult: Codable {
  private enum CodingKeys: String, CodingKey {
    case step, epoch, loss, accuracy, learningRate, samples, statistics, gradients, round
    case milliseconds = "step_ms"
    case blockedMilliseconds = "blocked_ms"
    case disturbance = "disturbed"
  }

  /// Decodes a row, and throws if it has figures that no run can have.
  public init(from decoder: any Decoder) throws {
    let row = try decoder.container(keyedBy: CodingKeys.self)
    let statistics = try row.decode(Traffic.self, forKey: .statistics)
    let gradients = try row.decode(Traffic.self, forKey: .gradients)
    let (step, epoch) = (
      try row.decode(Int.self, forKey: .step), try row.decode(Int.self, forKey: .epoch)
    )
    let samples = try row.decode(Int.self, forKey: .samples)
    let disturbance = try row.decodeIfPresent(StepDisturbance.self, forKey: .disturbance)
    let round = try row.decodeIfPresent(Int.self, forKey: .round)
    let (milliseconds, blocked) = (
      try row.decode(Double.self, forKey: .milliseconds),
      try row.decode(Double.self, forKey: .blockedMilliseconds)
    )
    let counts = [
      step, epoch, samples, statistics.collectives, statistics.bytes, gradients.collectives,
      gradients.bytes, disturbance?.rank ?? 0, round ?? 0,
    ]
    let times = [
      milliseconds, blocked, statistics.blockedMilliseconds, gradients.blockedMilliseconds,
    ]
    guard counts.allSatisfy({ RunMetrics.counts.contains($0) }),
      times.allSatisfy({ (0...1e12).contains($0) })
    else { throw RunMetrics.Implausible() }
    var control = Traffic()
    control.blockedNanoseconds =
      Int((blocked * 1e6).rounded()) - statistics.blockedNanoseconds - gradients.blockedNanoseconds
    self.init(
      step: step, epoch: epoch, loss: try row.decode(Double.self, forKey: .loss),
      accuracy: try row.decode(Double.self, forKey: .accuracy),
      learningRate: try row.decode(Double.self, forKey: .learningRate), samples: samples,
      labels: samples, nanoseconds: Int((milliseconds * 1e6).rounded()), statistics: statistics,
      gradients: gradients, control: control, requests: StepRequests(),
      disturbance: disturbance ?? .none, isOverlapTrial: false)
    self.round = round
  }

  /// Encodes the step as a row.
  public func encode(to encoder: any Encoder) throws {
    var row = encoder.container(keyedBy: CodingKeys.self)
    try row.encode(step, forKey: .step)
    try row.encode(epoch, forKey: .epoch)
    try row.encode(loss, forKey: .loss)
    try row.encode(accuracy, forKey: .accuracy)
    try row.encode(learningRate, forKey: .learningRate)
    try row.encode(samples, forKey: .samples)
    try row.encode(milliseconds, forKey: .milliseconds)
    try row.encode(blockedMilliseconds, forKey: .blockedMilliseconds)
    try row.encode(statistics, forKey: .statistics)
    try row.encode(gradients, forKey: .gradients)
    if !disturbance.isNone { try row.encode(disturbance, forKey: .disturbance) }
    try row.encodeIfPresent(round, forKey: .round)
  }
}

/// An evaluation's row of `metrics.jsonl`.
public struct EvaluationMetrics: Codable, Hashable, Sendable {
  /// The number of steps taken before the evaluation.
  public let step: Int
  /// The part of the data: "test".
  public let split: String
  /// The mean loss.
  public let loss: Double
  /// The share of labels that were predicted correctly.
  public let accuracy: Double
  /// The share of problems whose whole answer was right; nil if labels are not answers to problems.
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
  public private(set) var steps: [StepResult] = []
  /// The evaluations, in order.
  public private(set) var evaluations: [EvaluationMetrics] = []

  /// One line of the file.
  enum Row {
    case step(StepResult)
    case evaluation(EvaluationMetrics)

    private struct Kind: Decodable { let split: String? }

    init(_ line: Data) throws {
      let decoder = JSONDecoder()
      decoder.nonConformingFloatDecodingStrategy = .convertFromString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
      if try decoder.decode(Kind.self, from: line).split == nil {
        self = .step(try decoder.decode(StepResult.self, from: line))
      } else {
        let row = try decoder.decode(EvaluationMetrics.self, from: line)
        guard RunMetrics.counts.contains(row.step) else { throw Implausible() }
        self = .evaluation(row)
      }
    }
  }

  fileprivate struct Implausible: Error {}

  /// The plausible counts of steps, samples and bytes; sums of a few of them do not overflow.
  fileprivate static let counts = 0...1 << 50

  /// Reads the metrics of the run directory at `path`.
  ///
  /// A last line that a killed run left incomplete is skipped.
  ///
  /// - Throws: ``ConfigurationError`` if there are none, or a line is damaged.
  public init(run path: String) throws(ConfigurationError) {
    let file = "\(path)/metrics.jsonl"
    guard let data = FileManager.default.contents(atPath: file) else {
      throw ConfigurationError(file, "no such file; a run directory has one")
    }
    let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    // After the last line break there is nothing, or an incomplete line.
    for (number, line) in lines.dropLast().enumerated() {
      do {
        switch try Row(line) {
        case .step(let row): steps.append(row)
        case .evaluation(let row): evaluations.append(row)
        }
      } catch {
        throw ConfigurationError("\(file):\(number + 1)", "is damaged: it is not a row of metrics")
      }
    }
  }
}

extension RunMetrics {
  /// The numbers of the steps that say how long a step takes: of a whole batch, and neither among the first three
  /// nor the first of a turn.
  ///
  /// Only steps with `records` are asked, if there are any: a run that went on alone has no others.
  public func usualSteps(of records: [RankRecord] = []) -> Set<Int> {
    let recorded = Set(RecordedSteps(records).numbers)
    func numbers(_ steps: [StepResult]) -> Set<Int> {
      let all = Set(steps.map(\.step))
      return recorded.isEmpty ? all : all.intersection(recorded)
    }
    let steady = numbers(StepTimes.steady(steps))
    return steady.isEmpty ? numbers(StepTimes.whole(steps)) : steady
  }
}

extension RecordedRun {
  /// The records of undisturbed steps that are usual according to `metrics`.
  ///
  /// If no recorded step is, the records of all undisturbed steps are returned.
  public func usualRecords(_ metrics: RunMetrics) -> [RankRecord] {
    let whole = records.keeping(metrics.usualSteps(of: records))
    return (RecordedSteps(whole).numbers.isEmpty ? records : whole).undisturbed
  }
}
