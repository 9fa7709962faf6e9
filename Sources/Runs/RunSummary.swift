import Foundation
public import LockstepAnalysis
package import LockstepCollectives
import LockstepConfiguration
public import LockstepFiles
import LockstepRecording
public import LockstepTraining

/// The average traffic of a step.
public struct TrafficPerStep: Codable, Hashable, Sendable {
  /// The mean number of collectives in a step.
  public let collectivesPerStep: Double
  /// The mean number of bytes of this rank in a step.
  public let bytesPerStep: Double
  /// How long this rank was blocked in a step, in milliseconds; NaN if no step was timed.
  public let blockedMilliseconds: MedianInterval

  private enum CodingKeys: String, CodingKey {
    case collectivesPerStep = "collectives_per_step"
    case bytesPerStep = "bytes_per_step"
    case blockedMilliseconds = "blocked_ms"
  }

  /// Counts over all of some steps, and times of those that are `timed`: which steps communicate may depend on
  /// their number.
  package init(_ all: [Traffic], timed: [Traffic]) {
    let n = Double(max(all.count, 1))
    collectivesPerStep = all.reduce(0) { $0 + Double($1.collectives) } / n
    bytesPerStep = all.reduce(0) { $0 + Double($1.bytes) } / n
    blockedMilliseconds = timed.isEmpty ? .none : MedianInterval(timed.map(\.blockedMilliseconds))
  }
}

/// The figures at the end of a run.
public struct FinalFigures: Codable, Hashable, Sendable {
  /// The mean training loss of the last epoch's steps.
  public let loss: Double
  /// The test set's accuracy.
  public let accuracy: Double
  /// The test set's mean loss.
  public let testLoss: Double
  /// The share of the test set's problems whose whole answer is right; nil if labels are not answers.
  public let exactMatch: Double?

  private enum CodingKeys: String, CodingKey {
    case loss, accuracy
    case testLoss = "test_loss"
    case exactMatch = "exact_match"
  }

  package init(loss: Double, _ evaluation: Evaluation) {
    self.init(
      loss: loss, accuracy: evaluation.accuracy, testLoss: evaluation.loss,
      exactMatch: evaluation.exactMatch)
  }

  /// The figures of a run that diverged: NaN.
  package static let none = FinalFigures(
    loss: .nan, accuracy: .nan, testLoss: .nan, exactMatch: nil)

  /// The means over some runs; NaN if there are none.
  package static func mean(of runs: [FinalFigures]) -> FinalFigures {
    guard !runs.isEmpty else { return .none }
    func mean(_ figure: (FinalFigures) -> Double) -> Double {
      runs.map(figure).reduce(0, +) / Double(runs.count)
    }
    return FinalFigures(
      loss: mean(\.loss), accuracy: mean(\.accuracy), testLoss: mean(\.testLoss),
      exactMatch: runs.allSatisfy { $0.exactMatch != nil } ? mean { $0.exactMatch ?? 0 } : nil)
  }

  package init(loss: Double, accuracy: Double, testLoss: Double, exactMatch: Double?) {
    self.loss = loss
    self.accuracy = accuracy
    self.testLoss = testLoss
    self.exactMatch = exactMatch
  }
}

/// Times and traffic of a run's steady steps.
///
/// They are the undisturbed ones of a whole batch, without the first three or those that began a turn.
public struct StepTimes: Codable, Hashable, Sendable {
  /// The duration of a step on this rank, in milliseconds; NaN if no step was timed.
  public let stepMilliseconds: MedianInterval
  /// The traffic of statistics.
  public let statistics: TrafficPerStep
  /// The traffic of gradients.
  public let gradients: TrafficPerStep
  /// How many steady steps were disturbed and left out, and why; nil if that was not examined.
  public let disturbed: DisturbedSteps?

  private enum CodingKeys: String, CodingKey {
    case statistics, gradients, disturbed
    case stepMilliseconds = "step_ms"
  }

  /// Summarizes the steps of one run or several.
  public init(_ runs: [[StepResult]]) {
    self.init(steady: runs.flatMap { Self.steady($0) }, of: runs.flatMap { Self.whole($0) })
  }

  /// The steps of one run that say how long a step takes, all of a whole batch.
  ///
  /// Where it took turns with other runs, they are the timed ones, since the first step of a turn finds the caches as
  /// another run left them. Otherwise, or where it went on alone for more than a turn, they are all but the first
  /// three, or all if there are no more.
  static func steady(_ steps: [StepResult]) -> [StepResult] {
    let whole = whole(steps)
    let alone = whole.lastIndex { $0.round != nil }.map { Array(whole[($0 + 1)...]) } ?? whole
    if alone.count < whole.count, alone.count <= Interleaving.turn {
      return whole.filter { $0.round != nil }
    }
    return alone.count > 3 ? Array(alone.dropFirst(3)) : alone
  }

  /// The steps with a whole batch.
  static func whole(_ steps: [StepResult]) -> [StepResult] {
    let largest = steps.map(\.samples).max() ?? 0
    return steps.filter { $0.samples == largest }
  }

  /// Summarizes steady steps of `all` steps, over which collectives and bytes are counted.
  package init(steady: [StepResult], of all: [StepResult]) {
    let clean = steady.filter { $0.disturbance.isNone }
    let counted = clean.isEmpty ? steady : clean
    stepMilliseconds = counted.isEmpty ? .none : MedianInterval(counted.map(\.milliseconds))
    statistics = TrafficPerStep(all.map(\.statistics), timed: counted.map(\.statistics))
    gradients = TrafficPerStep(all.map(\.gradients), timed: counted.map(\.gradients))
    disturbed = DisturbedSteps(steady.map(\.disturbance))
  }
}

extension RunSummary {
  /// Reads `summary.json` of the run directory at `path`; nil if the run has not ended.
  ///
  /// - Throws: ``ConfigurationError`` if it is damaged.
  public static func read(run path: String) throws(ConfigurationError) -> RunSummary? {
    let file = "\(path)/summary.json"
    guard let data = FileManager.default.contents(atPath: file) else { return nil }
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      return try decoder.decode(RunSummary.self, from: data)
    } catch {
      throw ConfigurationError(file, "is damaged: it is not a summary of a run")
    }
  }
}

/// What checkpoints have cost since a run was started or resumed.
public struct CheckpointCost: Codable, Hashable, Sendable {
  /// How many checkpoints were written.
  public let written: Int
  /// How long training waited for checkpoints, in milliseconds per step.
  ///
  /// It waits until statistics are gathered, the state is copied, and the previous checkpoint is written.
  public let blockedMsPerStep: Double

  private enum CodingKeys: String, CodingKey {
    case written
    case blockedMsPerStep = "blocked_ms_per_step"
  }
}

/// What `summary.json` holds.
public struct RunSummary: Codable, Sendable {
  /// The run's name.
  public let name: String
  /// The kind of norm.
  public let norm: String
  /// The number of ranks.
  public let ranks: Int
  /// The number of steps taken.
  public let steps: Int
  /// The seconds from the first step to the end; for a resumed run, those of its earlier steps plus those
  /// since it was resumed.
  public let seconds: Double
  /// Times and traffic of the newest steps: at least ``RunTally/window`` of them, or all if there are fewer.
  public let times: StepTimes
  /// The figures at the end of the run.
  public let final: FinalFigures
  /// What checkpoints cost; nil until all are written.
  public internal(set) var checkpoints: CheckpointCost?
}

extension RunSummary {
  package init(
    _ run: TrainingRun, ranks: Int, _ tally: RunTally, seconds: Double, _ evaluation: Evaluation
  ) {
    self.init(
      name: run.configuration.name, norm: run.configuration.model.normName, ranks: ranks,
      steps: run.stepsTaken, seconds: seconds, times: tally.times,
      final: FinalFigures(loss: tally.finalLoss, evaluation))
  }
}
