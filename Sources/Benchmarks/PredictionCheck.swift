import Foundation
public import LockstepAnalysis
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles
public import LockstepNorms
public import LockstepPrediction
import LockstepRecording
import LockstepRuns
import LockstepTraining

/// What `bench prediction` prints: predicted and measured steps of all ranks.
public struct PredictionCheck: Codable, Sendable {
  /// One norm's steps.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// A step of rank 0 alone, simulated from the same steps as the prediction, in milliseconds.
    public let aloneMilliseconds: MedianInterval
    /// The prediction from the steps that rank 0 took alone.
    public let predicted: Prediction.Row
    /// A step of all ranks together, measured on rank 0, in milliseconds.
    public let measuredMilliseconds: MedianInterval
    /// The predicted median over the measured median, minus 1.
    public let error: Double

    private enum CodingKeys: String, CodingKey {
      case norm, predicted, error
      case aloneMilliseconds = "alone_ms"
      case measuredMilliseconds = "measured_ms"
    }
  }

  /// The configuration's name.
  public let work: String
  /// The number of ranks.
  public let ranks: Int
  /// The fabric that was predicted for.
  public let fabric: String
  /// The number of measured steps of each norm, alone and together.
  public let steps: Int
  /// One result for each norm.
  public let results: [Result]
  /// How many of rank 0's counted steps were disturbed and left out, and why.
  public let disturbed: DisturbedSteps
  /// The median of the errors' absolute values.
  public let medianError: Double
  /// The largest of the errors' absolute values.
  public let worstError: Double
  /// Whether every error is within ``Prediction/tolerance``.
  public let passed: Bool

  private enum CodingKeys: String, CodingKey {
    case work, ranks, fabric, steps, results, disturbed, passed
    case medianError = "median_error"
    case worstError = "worst_error"
  }
}

extension PredictionCheck {
  private static let warmup = 3

  /// Takes steps of each of `norms` with every rank alone and with all together, and predicts the latter.
  ///
  /// The turns alternate, with `steps` steps of each kind. The prediction is made from the steps that rank 0
  /// took alone. The other ranks take steps alone at the same time, so that rank 0 has no larger share of its
  /// machine than in the steps of all together.
  ///
  /// Collective.
  public init(
    _ configuration: RunConfiguration, norms: [NormKind], steps: Int, on network: NetworkModel,
    data: DataSplit, context: RankContext
  ) throws {
    guard context.size > 1 else {
      throw ConfigurationError(
        "bench prediction",
        "needs two ranks or more to check against; start it with Launch/run -n 2 -- lockstep …")
    }
    guard case .perRank = configuration.batch else {
      throw ConfigurationError(
        "bench prediction",
        "needs a configuration with batchPerRank: a rank alone has to compute as many samples as one "
          + "of several")
    }
    guard configuration.model.norm.statisticsGroup == .all else {
      throw ConfigurationError(
        "bench prediction", "checks statistics over all ranks; leave statisticsGroup out")
    }
    try configuration.checkStepsAreAlike("bench prediction", norms: norms)
    let normSettings = norms.map { configuration.with(norm: $0).model.norm }
    guard !normSettings.contains(where: { $0.synchronizes && $0.chosenMerge == .allGather }) else {
      throw ConfigurationError(
        "bench prediction",
        "cannot check merge all-gather, whose cost is not modelled; use another merge")
    }
    let rounds = Interleaving.rounds(counting: steps)
    var settings = configuration
    settings.length = .steps(
      Self.warmup + TrainingRun.stepsToOverlap + rounds * Interleaving.turn)
    settings.data.dropLast = true
    let alone = try RankContext(context.control.split(color: context.rank, key: 0))
    alone.sharesCores = context.sharesCores
    alone.record(in: EventLog())
    let pairs = try norms.map { norm in
      let settings = settings.with(norm: norm)
      return try Pair(
        norm: norm, alone: TrainingRun(settings, data: data, context: alone),
        together: TrainingRun(settings, data: data, context: context), log: alone.log)
    }
    for pair in pairs { try pair.warmUp(Self.warmup) }
    let interleaving = Interleaving(variants: pairs.count, seed: configuration.seed)
    for round in 0..<rounds {
      for i in interleaving.order(of: round) { try pairs[i].takeTurn(context: context) }
    }
    work = configuration.name
    ranks = context.size
    fabric = network.fabric.name
    self.steps = rounds * (Interleaving.turn - 1)
    disturbed = DisturbedSteps(pairs.flatMap(\.disturbances))
    let mine: [Result] = try pairs.map { pair in
      let synchronizes = settings.with(norm: pair.norm).model.norm.synchronizes
      let records = [RankRecord(pair.events, clock: .none, groups: alone.recordedGroups)]
        .keeping(Set(pair.aloneNumbers))
      let prediction = try Prediction(
        [
          Prediction.Source(
            norm: pair.norm.rawValue, synchronizes: synchronizes, records: records)
        ], on: network, ranks: [1, context.size])
      let measured = MedianInterval(pair.togetherTimes)
      let row = prediction.rows[1]
      return Result(
        norm: pair.norm.rawValue, aloneMilliseconds: prediction.rows[0].stepMilliseconds,
        predicted: row,
        measuredMilliseconds: measured, error: row.stepMilliseconds.median / measured.median - 1)
    }
    // All ranks take rank 0's results.
    let text = try context.control.broadcast(
      String(decoding: try JSONEncoder().encode(mine), as: UTF8.self), from: 0)
    results = try JSONDecoder().decode([Result].self, from: Data(text.utf8))
    let sizes = results.map { abs($0.error) }
    medianError = MedianInterval(sizes).median
    worstError = sizes.max() ?? 0
    passed = results.allSatisfy { abs($0.error) <= Prediction.tolerance }
  }

  /// One norm's runs: of this rank alone, and of all ranks together.
  private final class Pair {
    let norm: NormKind
    private let alone: TrainingRun
    private let together: TrainingRun
    private let log: EventLog?
    private(set) var events: [Event] = []
    private var aloneSteps: [StepResult] = []
    private var togetherSteps: [StepResult] = []

    init(norm: NormKind, alone: TrainingRun, together: TrainingRun, log: EventLog?) {
      (self.norm, self.alone, self.together, self.log) = (norm, alone, together, log)
    }

    func warmUp(_ steps: Int) throws {
      try alone.warmUp(steps)
      try together.warmUp(steps)
    }

    func takeTurn(context: RankContext) throws {
      let first = log?.count ?? 0
      func turn(of run: TrainingRun) throws -> [StepResult] {
        try context.control.barrier()
        return run.counted(try (0..<Interleaving.turn).map { _ in try run.step() })
      }
      aloneSteps += try turn(of: alone)
      events += log?.events(from: first) ?? []
      togetherSteps += try turn(of: together)
    }

    var togetherTimes: [Double] { Self.times(togetherSteps) }
    /// The numbers of the counted steps that this rank took alone.
    var aloneNumbers: [Int] { Self.clean(aloneSteps).map(\.step) }
    /// What disturbed each of the counted steps.
    var disturbances: [StepDisturbance] { (aloneSteps + togetherSteps).map(\.disturbance) }

    private static func clean(_ steps: [StepResult]) -> [StepResult] {
      let clean = steps.filter(\.disturbance.isNone)
      return clean.isEmpty ? steps : clean
    }

    private static func times(_ steps: [StepResult]) -> [Double] {
      clean(steps).map { Double($0.nanoseconds) / 1e6 }
    }
  }
}
