import Autograd
public import Collectives
import DataParallel
public import Datasets
import Layers
public import Measurement
public import Models
import Norms
import Optimizers
import Tensors

/// A run that had to end, on all ranks in the same step.
public struct TrainingFailure: Error, CustomStringConvertible, Hashable, Sendable {
  /// What happened, and in which step.
  public let description: String
  /// The step after which the network was no good any more; nil where something else failed.
  public let step: Int?

  /// A failure that is not the network's.
  init(description: String) { (self.description, step) = (description, nil) }

  /// The network diverged in a step, as `symptom` shows.
  init(divergedIn step: Int, _ symptom: String) {
    description =
      "step \(step): \(symptom); a smaller learning rate, warm-up or clipNorm may help"
    self.step = step
  }

  /// This failure, with what may be done about it.
  public func adding(_ remedy: String) -> TrainingFailure {
    TrainingFailure(description: "\(description); \(remedy)", step: step)
  }

  private init(description: String, step: Int?) {
    (self.description, self.step) = (description, step)
  }
}

/// What one step was, the same on all ranks but for times and traffic.
public struct StepResult: Sendable {
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
  /// The labels among them: one an image, one a token.
  public let labels: Int
  /// The step's duration on this rank.
  public let nanoseconds: Int
  /// This rank's statistics traffic.
  public let statistics: Traffic
  /// This rank's gradient traffic.
  public let gradients: Traffic
  /// This rank's other traffic.
  public let control: Traffic
  /// What any rank asked of all.
  public let requests: StepRequests
  /// What came between the step and its processors: on this rank, or on any until the end of backward.
  public let disturbance: StepDisturbance
  /// Whether the step was taken to find out whether overlap pays, with overlap.
  let isOverlapTrial: Bool
  /// The round of a comparison in which the step counts; nil where it does not, or there is none.
  public internal(set) var round: Int?
}

/// The mean loss and accuracy over a data set.
public struct Evaluation: Hashable, Sendable {
  /// The mean loss.
  public let loss: Double
  /// The share that was classified right.
  public let accuracy: Double
  /// The share of problems whose whole answer was right; nil where labels are no answers.
  public let exactMatch: Double?

  /// Throws if the loss is not finite: then the network is no good after `step`.
  func check(after step: Int) throws(TrainingFailure) {
    guard loss.isFinite else {
      throw TrainingFailure(divergedIn: step, "after it the loss on the test set is \(loss)")
    }
  }
}

/// One replica's part in training one network.
public final class TrainingRun {
  /// What is trained.
  public let configuration: RunConfiguration
  /// The network of this rank.
  public let model: Model
  /// How many steps the run has.
  public let totalSteps: Int
  /// Steps taken.
  public private(set) var stepsTaken = 0
  /// What this rank asks of all, asked once a step.
  public var requests: () -> StepRequests = { StepRequests() }
  private let context: RankContext
  private let data: DataSplit
  private let train: any Dataset
  private let test: any Dataset
  private let testLabels: Int
  private let sampler: ShardedSampler
  private let schedule: LearningRateSchedule
  private let stepper: TrainingStep
  private let replica: ReplicaState
  private let watch: DisturbanceWatch
  private let overlap: OverlapTrial
  private var order: (epoch: Int, indices: [Int]) = (-1, [])

  /// Builds the model, checks it against the data and the ranks, and gives every rank the
  /// parameters of rank 0.
  ///
  /// Collective. All ranks throw the same error, ``ConfigurationError`` or `AgreedError`, or none does.
  ///
  /// `initialState` has values for the parameters and running statistics by name.
  public init(
    _ configuration: RunConfiguration, data: DataSplit,
    context: RankContext, initialState: StateDictionary? = nil
  ) throws {
    self.configuration = configuration
    self.context = context
    context.activity?.limitSeconds = Double(configuration.watchdogSeconds)
    (train, test, self.data) = (data.train, data.test, data)
    testLabels = test.labelCount(Array(0..<test.count)[...])
    let batch = configuration.globalBatch(ranks: context.size)
    try RunCheck.data(configuration, data, testLabels: testLabels)
    try RunCheck.batch(configuration, batch: batch, samples: train.count)
    sampler = ShardedSampler(
      count: train.count, batch: batch, seed: configuration.seed,
      dropLast: configuration.data.dropLast)
    totalSteps = configuration.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)
    try RunCheck.statisticsGroup(
      configuration.model.norm, at: configuration.places["model.norm.statisticsGroup"],
      ranks: context.size)
    let group = configuration.model.norm.statisticsGroup
    let scope =
      configuration.model.norm.synchronizes
      ? try context.scope(of: group) : .thisRank
    // With checks, the order of all collectives has to be the same on all ranks, which what is put off
    // until others come does not have. The bits are the same.
    let isOrdered = context.checksCollectives
    let norm = configuration.model.norm
    overlap = OverlapTrial(
      isOrdered ? .off : norm.overlap, ranks: context.size,
      synchronizes: norm.synchronizes)
    model = configuration.model.make(
      input: train.shape, classes: train.classes, seed: configuration.seed, synchronized: scope)
    // Nodes may have different numbers of ranks, so that only some find the group too small.
    let (sites, sizes) = (model.normSites, sampler.batchSizes)
    try agreeing(over: context.control) {
      try RunCheck.norms(
        configuration, sites, ranks: context.size, ranksPerGroup: scope.communicator.size,
        batchSizes: sizes)
    }
    try agreeing(over: context.control) { [model] in
      try initialState?.load(into: model, ties: configuration.model.ties)
    }
    model.applyConstraints()
    try broadcastState(model, over: context.control)
    schedule = configuration.schedule(totalSteps: totalSteps)
    watch = DisturbanceWatch(countsSwitches: !context.sharesCores)
    stepper = TrainingStep(
      model, optimizer: configuration.optimizer, context: context,
      buckets: configuration.buckets, overlaps: configuration.overlap && !isOrdered,
      clipNorm: configuration.clipNorm, normalization: configuration.gradientNormalization)
    replica = ReplicaState(
      model: model, optimizer: stepper.optimizer, control: context.control,
      hasOwnStatistics: configuration.model.norm.kind.usesBatchStatistics && !scope.coversAllRanks)
  }

  /// Goes on from rank 0's `checkpoint`, which is nil on the other ranks.
  ///
  /// At the same number of ranks every rank gets the running statistics that it had; at another all
  /// get those of rank 0.
  ///
  /// Collective. All ranks throw, or none.
  public func restore(_ checkpoint: Checkpoint?) throws {
    try context.waitingForOthers { try replica.restore(checkpoint) }
    var step = [Int64(checkpoint?.step ?? 0)]
    try context.control.broadcast(&step, from: 0)
    stepsTaken = Int(step[0])
  }

  /// All that the run is now, on rank 0; nil elsewhere.
  ///
  /// Collective. It changes nothing, so that a run takes the same course whenever it is asked.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if a value on any of them is not finite.
  public func checkpoint() throws -> Checkpoint? {
    // Nothing of this step's backward pass has been compared yet, and a run goes on from what is saved.
    let isFinite = try verifyCollectives(and: replica.isFinite)
    guard isFinite else {
      throw TrainingFailure(
        divergedIn: stepsTaken, "after it the network has values that are not finite")
    }
    guard let tensors = try replica.gathered() else { return nil }
    return Checkpoint(
      step: stepsTaken, optimizerSteps: stepper.optimizer.steps, ranks: context.size,
      seed: configuration.seed, configuration: try configuration.resolvedYAML,
      data: data.digest, tensors: tensors)
  }

  /// Whether weight gradients are computed while statistics are in flight; nil while the run's first steps
  /// find out.
  public var overlaps: Bool? { overlap.overlaps }

  /// What the first steps found, in words; nil where there was nothing to find out.
  public var overlapFinding: String? {
    overlap.finding.map {
      "norm.overlap is auto and stays \($0.overlaps ? "on" : "off"): steps with it take "
        + "\($0.ratio.ratio.text(3)) of those without"
    }
  }

  /// How many steps it takes at most until ``overlaps`` is known.
  public static var stepsToOverlap: Int { OverlapTrial.steps }

  /// The samples of a whole global batch.
  var wholeBatch: Int { sampler.batchSizes.max() ?? 0 }

  /// Steps in an epoch.
  public var stepsPerEpoch: Int { sampler.stepsPerEpoch }

  /// Takes the next step.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks in the same step if the loss is not finite;
  ///   `CommunicationError` on all ranks if they have not issued the same collectives.
  public func step() throws -> StepResult {
    let isOverlapTrial = overlap.overlaps == nil && overlap.next
    watch.begin()
    let start = monotonicNanoseconds()
    let before = traffic
    let step = stepsTaken
    context.activity?.beginStep(step + 1)
    let (epoch, stepInEpoch) = step.quotientAndRemainder(dividingBy: sampler.stepsPerEpoch)
    if order.epoch != epoch { order = (epoch, sampler.order(epoch: epoch)) }
    let window = sampler.slots(step: stepInEpoch)
    let rate = schedule.rate(at: step)
    let labels = train.labelCount(order.indices[window])
    let (loss, accuracy, requests, disturbance) = try stepper.run(
      number: step + 1, labels: labels, accumulate: configuration.accumulate,
      learningRate: rate, requests: requests, disturbance: watch.causes, overlap: overlap
    ) { part in
      let slots = share(
        context.rank, of: context.size,
        in: share(part, of: configuration.accumulate, in: window))
      let first = slots.lowerBound - window.lowerBound
      let batch = train.batch(Array(order.indices[slots])) { place in
        configuration.data.augmentation.draw(
          seed: configuration.seed, step: step, slot: first + place)
      }
      return MicroBatch(
        batch: batch,
        origin: SampleOrigin(seed: configuration.seed, step: step, firstSlot: first))
    }
    stepsTaken += 1
    let end = monotonicNanoseconds()
    let own = watch.end(milliseconds: Double(end - start) / 1e6)
    context.log?.step(step + 1, from: start, to: end, marks: own.rawValue)
    let counts = disturbance.isNone && own.isEmpty && window.count == wholeBatch
    overlap.append(counts ? Double(end - start) / 1e6 : nil)
    let after = traffic
    return StepResult(
      step: step + 1, epoch: epoch + 1, loss: loss, accuracy: accuracy, learningRate: rate,
      samples: window.count, labels: labels,
      nanoseconds: Int(end - start),
      statistics: after.statistics - before.statistics,
      gradients: after.gradients - before.gradients, control: after.control - before.control,
      requests: requests,
      disturbance: disturbance.union(StepDisturbance(own, rank: context.rank)),
      isOverlapTrial: isOverlapTrial)
  }

  /// Whether the configuration asks for a checkpoint now; one by the clock is requested.
  public var isCheckpointDue: Bool {
    if stepsTaken == totalSteps { return true }
    switch configuration.checkpoint.cadence {
    case .steps(let steps): return stepsTaken % steps == 0
    case .epochs(let epochs): return stepsTaken % (epochs * sampler.stepsPerEpoch) == 0
    case .seconds: return false
    }
  }

  private var traffic: (statistics: Traffic, gradients: Traffic, control: Traffic) {
    (context.statisticsTraffic, context.gradients.traffic, context.controlTraffic)
  }

  /// Whether the configuration asks for an evaluation now.
  public var isEvaluationDue: Bool {
    if stepsTaken == totalSteps { return true }
    if stepsTaken == 0 { return false }
    switch configuration.evaluation {
    case .atEnd: return false
    case .steps(let steps): return stepsTaken % steps == 0
    case .epochs(let epochs): return stepsTaken % (epochs * sampler.stepsPerEpoch) == 0
    }
  }

  /// Evaluates the network on the test set, or on `other` data with a label at least, shared out over the
  /// ranks.
  ///
  /// Ranks whose running statistics are their own are lent rank 0's, so that all evaluate one network. A run
  /// takes the same course whether it is evaluated or not.
  public func evaluate(on other: (any Dataset)? = nil) throws -> Evaluation {
    try replica.lendingStatistics { try evaluation(on: other) }
  }

  private func evaluation(on other: (any Dataset)?) throws -> Evaluation {
    let test = other ?? test
    let counted = other.map { $0.labelCount(Array(0..<$0.count)[...]) } ?? testLabels
    precondition(counted > 0, "an evaluation on no label")
    var sums = [0.0, 0.0, 0.0]
    let mine = share(context.rank, of: context.size, in: 0..<test.count)
    for from in stride(from: mine.lowerBound, to: mine.upperBound, by: evaluationBatch) {
      let batch = test.batch(from..<min(from + evaluationBatch, mine.upperBound))
      let tape = Tape(.evaluation, validRows: batch.validRows)
      let loss = CrossEntropyLoss(
        try model(tape.input(batch.input), on: tape), labels: batch.labels, after: sums[0])
      sums[0] = loss.sum
      sums[1] += loss.correct
      if test.hasAnswers { sums[2] += Double(loss.exactMatches(of: batch.input.shape[0])) }
    }
    try context.control.sum(&sums)
    return Evaluation(
      loss: sums[0] / Double(counted), accuracy: sums[1] / Double(counted),
      exactMatch: test.hasAnswers ? sums[2] / Double(test.count) : nil)
  }

  /// How many samples a rank evaluates at once: no more than it trains on at once, so that evaluating takes
  /// no more memory than a step, and no more than fill the processor.
  private var evaluationBatch: Int {
    let micro = configuration.globalBatch(ranks: context.size) / configuration.accumulate
    return max(1, min(128, micro / context.size))
  }

  /// The state to save, with rank 0's running statistics on every rank.
  ///
  /// Collective.
  public func state() throws -> StateDictionary {
    try synchronizeBuffers()
    return StateDictionary(model)
  }

  private func synchronizeBuffers() throws {
    guard configuration.model.norm.kind.usesBatchStatistics else { return }
    try broadcastBuffers(model, over: context.control)
  }

  /// Throws unless all ranks have issued the same collectives, and hold the same parameters, bit by bit.
  ///
  /// Collective.
  public func verifyReplicas() throws {
    try verifyCollectives()
    try DataParallel.verifyReplicas(model.parameters, over: context.control)
  }

  /// Throws unless all ranks have issued the same collectives.
  ///
  /// - Returns: whether `isRight` is so on all ranks.
  @discardableResult
  private func verifyCollectives(and isRight: Bool = true) throws -> Bool {
    let mine = Int64(bitPattern: context.fingerprint.value)
    let all = try context.control.allGather([mine, isRight ? 1 : 0])
    if all.contains(where: { $0[0] != all[0][0] }) { throw try context.fingerprintError() }
    return all.allSatisfy { $0[1] == 1 }
  }
}
