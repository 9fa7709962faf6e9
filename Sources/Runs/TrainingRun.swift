import LockstepAnalysis
import LockstepAutograd
public import LockstepCheckpoints
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles
import LockstepLayers
public import LockstepModels
import LockstepNorms
import LockstepOptimizers
import LockstepTensors
public import LockstepTraining

/// One replica's part in a run that a configuration describes: a trainer, and when to evaluate and save it.
public final class TrainingRun {
  /// What is trained.
  public let configuration: RunConfiguration
  private let trainer: Trainer
  private let ranks: RankContext
  private let data: DataSplit

  /// Builds the model, checks it against the data and the ranks, and gives every rank the
  /// parameters of rank 0.
  ///
  /// Collective. All ranks throw the same error, ``ConfigurationError`` or `AgreedError`, or none does.
  ///
  /// `initialState` holds values of the parameters and running statistics by name.
  public init(
    _ configuration: RunConfiguration, data: DataSplit,
    context: RankContext, initialState: StateDictionary? = nil
  ) throws {
    self.configuration = configuration
    (ranks, self.data) = (context, data)
    context.activity?.limitSeconds = Double(configuration.watchdogSeconds)
    let (norm, places) = (configuration.model.norm, configuration.places)
    try RunCheck.statisticsGroup(
      norm, at: places["model.norm.statisticsGroup"], ranks: context.size)
    let scope = norm.synchronizes ? try context.scope(of: norm.statisticsGroup) : .thisRank
    try ConfigurationCheck.heldOut(configuration, data)
    try ConfigurationCheck.model(configuration)
    let model = configuration.model.make(
      input: data.train.shape, classes: data.train.classes, seed: configuration.seed,
      synchronized: scope)
    trainer = try Trainer(
      model, data, configuration.trainer, over: context, placeOf: configuration.place
    ) {
      try initialState?.load(into: model, ties: configuration.model.ties)
    }
  }

  /// The network of this rank.
  public var model: Model { trainer.model }
  /// The total number of steps of the run.
  public var totalSteps: Int { trainer.totalSteps }
  /// The number of steps taken.
  public var stepsTaken: Int { trainer.stepsTaken }
  /// The number of steps in an epoch.
  public var stepsPerEpoch: Int { trainer.stepsPerEpoch }
  /// The number of samples in a whole global batch.
  package var wholeBatch: Int { trainer.wholeBatch }

  /// Takes the next step; `requests` returns what this rank asks of all ranks.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks in the same step if the loss is not finite;
  ///   `CommunicationError` on all ranks if they have not issued the same collectives.
  public func step(asking requests: () -> StepRequests = { StepRequests() }) throws -> StepResult {
    try trainer.step(asking: requests)
  }

  /// Evaluates the network, as ``Trainer/evaluate(on:)`` does.
  public func evaluate(on other: (any Dataset)? = nil) throws -> Evaluation {
    try trainer.evaluate(on: other)
  }

  /// Throws unless all ranks have issued the same collectives and hold the same parameters, bit for bit.
  ///
  /// Collective.
  public func verifyReplicas() throws { try trainer.verifyReplicas() }

  /// Restores rank 0's `checkpoint`, which is nil on the other ranks.
  ///
  /// If the number of ranks is the same, every rank gets back its own running statistics; otherwise all
  /// get those of rank 0.
  ///
  /// Collective. All ranks throw, or none does.
  public func restore(_ checkpoint: Checkpoint?) throws {
    try ranks.waitingForOthers { try trainer.replica.restore(checkpoint) }
    var step = [Int64(checkpoint?.step ?? 0)]
    try ranks.control.broadcast(&step, from: 0)
    trainer.goOn(after: Int(step[0]))
  }

  /// The run's complete state, on rank 0; nil on other ranks.
  ///
  /// Collective. It changes nothing: a run takes the same course whether or not checkpoints are taken.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if a value on any of them is not finite.
  public func checkpoint() throws -> Checkpoint? {
    // The collectives of this step's backward pass have not been compared yet, and what is saved has to be
    // right.
    let isFinite = try trainer.verifyCollectives(and: trainer.replica.isFinite)
    guard isFinite else {
      throw TrainingFailure(
        divergedIn: stepsTaken, "after it the network has values that are not finite")
    }
    guard let tensors = try trainer.replica.gathered() else { return nil }
    return Checkpoint(
      step: stepsTaken, optimizerSteps: trainer.optimizer.steps, ranks: ranks.size,
      seed: configuration.seed, configuration: try configuration.resolvedYAML,
      data: data.digest, tensors: tensors)
  }

  /// The state to save, with rank 0's running statistics on every rank.
  ///
  /// Collective.
  public func state() throws -> StateDictionary {
    if configuration.model.norm.usesBatchStatistics {
      try broadcastBuffers(model, over: ranks.control)
    }
    return StateDictionary(model)
  }

  /// What is doubtful about the norms in batches of this size, a line each; the same on all ranks.
  public var warnings: [String] { trainer.warnings }

  /// Whether weight gradients are computed while statistics are in flight; nil while steps still find out.
  public var overlaps: Bool? { trainer.overlap.overlaps }

  /// What the first steps found about overlap, in words; nil if there was nothing to find out.
  public var overlapFinding: String? {
    trainer.overlap.finding.map {
      "norm.overlap is auto and stays \($0.overlaps ? "on" : "off"): a step with it takes "
        + "\($0.ratio.ratio.text(3)) times as long as one without"
    }
  }

  /// After how many steps ``overlaps`` is known at the latest.
  public static var stepsToOverlap: Int { OverlapTrial.steps }

  /// Whether the configuration asks for a checkpoint after this step.
  ///
  /// Checkpoints by the clock are not included; rank 0 requests them.
  public var isCheckpointDue: Bool {
    if stepsTaken == totalSteps { return true }
    switch configuration.checkpoint.cadence {
    case .steps(let steps): return stepsTaken % steps == 0
    case .epochs(let epochs): return stepsTaken % (epochs * stepsPerEpoch) == 0
    case .seconds: return false
    }
  }

  /// Whether the configuration asks for an evaluation after this step.
  public var isEvaluationDue: Bool {
    if stepsTaken == totalSteps { return true }
    if stepsTaken == 0 { return false }
    switch configuration.evaluation {
    case .atEnd: return false
    case .steps(let steps): return stepsTaken % steps == 0
    case .epochs(let epochs): return stepsTaken % (epochs * stepsPerEpoch) == 0
    }
  }
}
