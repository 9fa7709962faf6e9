public import LockstepAutograd
package import LockstepCheckpoints
import LockstepCollectives
public import LockstepDataParallel
public import LockstepDatasets
import LockstepLayers
import LockstepMachine
public import LockstepModels
import LockstepNorms
package import LockstepOptimizers
import LockstepRecording
public import LockstepTensors

/// Trains a model data-parallel: every rank holds a replica and takes its share of each batch.
///
/// P ranks compute what one rank computes on the whole batch, and all ranks hold the same bits after every
/// step.
public final class Trainer {
  /// The network of this rank.
  public let model: Model
  /// How the network is trained.
  public let settings: TrainerSettings
  /// The total number of steps.
  public let totalSteps: Int
  /// What is doubtful about the model's norms in batches of this size, a line each; the same on all ranks.
  public let warnings: [String]
  /// The number of steps taken.
  public private(set) var stepsTaken = 0
  package let ranks: RankContext
  let sampler: ShardedSampler
  let test: any Dataset
  let testLabels: Int
  package let optimizer: Optimizer
  package let replica: ReplicaState
  package let overlap: OverlapTrial
  private let train: any Dataset
  private let schedule: LearningRateSchedule
  private let buckets: GradientSynchronizer
  private let watch: DisturbanceWatch
  private var order: (epoch: Int, indices: [Int]) = (-1, [])

  private static let data = EventName(StepPart.data)
  private static let loss = EventName(StepPart.loss)
  private static let bucketsLeft = EventName(StepPart.buckets)
  private static let update = EventName(StepPart.optimizer)
  private static let unnamed = EventName(StepPart.unnamed)

  /// Checks the model against the data and the ranks, and gives every rank the parameters of rank 0.
  ///
  /// Collective. All ranks throw the same error, ``ConfigurationError`` or `AgreedError`, or none does.
  public convenience init(
    _ model: Model, _ data: DataSplit, _ settings: TrainerSettings, over ranks: RankContext
  ) throws {
    try self.init(model, data, settings, over: ranks, placeOf: { $0 }) {}
  }

  /// Does what the public initializer does, with two hooks.
  ///
  /// `placeOf` gives the place of a setting for messages. `prepare` loads the initial parameters, and checks
  /// what the trainer does not know.
  package init(
    _ model: Model, _ data: DataSplit, _ settings: TrainerSettings, over ranks: RankContext,
    placeOf: (String) -> String, prepare: () throws -> Void
  ) throws {
    (self.model, self.settings, self.ranks) = (model, settings, ranks)
    (train, test) = (data.train, data.test)
    testLabels = test.labelCount(Array(0..<test.count)[...])
    try RunCheck.outputs(model, classes: train.classes)
    let batch = settings.batch.global(ranks: ranks.size)
    try RunCheck.data(data, testLabels: testLabels, placeOf: placeOf)
    try RunCheck.batch(settings, batch: batch, samples: train.count, placeOf: placeOf)
    sampler = ShardedSampler(
      count: train.count, batch: batch, seed: settings.seed, dropLast: settings.dropLast)
    totalSteps = settings.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)
    let sizes = sampler.batchSizes
    try RunCheck.norms(
      model, accumulate: settings.accumulate, ranks: ranks.size, batchSizes: sizes,
      placeOf: placeOf)
    warnings = RunCheck.warnings(
      model, accumulate: settings.accumulate, ranks: ranks.size, batchSizes: sizes)
    try agreeing(over: ranks.control, prepare)
    model.applyConstraints()
    try broadcastState(model, over: ranks.control)
    // Checked collectives must be issued in one order; deferred work makes the order depend on timing, so
    // overlap is off. Results are bit-identical.
    let isOrdered = ranks.checksCollectives
    overlap = OverlapTrial(
      isOrdered ? .off : model.statisticsOverlap, ranks: ranks.size,
      synchronizes: model.synchronizesStatistics)
    schedule = LearningRateSchedule(
      base: settings.learningRate, warmupSteps: settings.warmupSteps, totalSteps: totalSteps,
      decay: settings.decay)
    watch = DisturbanceWatch(countsSwitches: !ranks.sharesCores)
    buckets = GradientSynchronizer(
      model.parameters, over: ranks.gradients, settings: settings.buckets,
      overlaps: settings.overlap && !isOrdered, precision: settings.gradientPrecision)
    // Gradients have moved into their buckets by now, so the optimizer's state takes the memory they left.
    optimizer = Optimizer(settings.optimizer, model.parameters)
    replica = ReplicaState(model: model, optimizer: optimizer, control: ranks.control)
  }

  /// Takes the next step; nil after the last.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks in the same step if the loss is not finite;
  ///   `CommunicationError` on all ranks if they have not issued the same collectives.
  public func next() throws -> StepResult? { stepsTaken < totalSteps ? try step() : nil }

  /// Takes the next step.
  ///
  /// `requests` returns what this rank asks of all ranks; it is called once.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks in the same step if the loss is not finite;
  ///   `CommunicationError` on all ranks if they have not issued the same collectives.
  @discardableResult
  public func step(asking requests: () -> StepRequests = { StepRequests() }) throws -> StepResult {
    let isOverlapTrial = overlap.overlaps == nil && overlap.next
    watch.begin()
    let start = monotonicNanoseconds()
    let before = traffic
    let window = nextWindow()
    ranks.activity?.beginStep(window.step + 1)
    ranks.log?.beginSegment()

    // This is the only weight: everything after it is a plain sum over micro-batches and ranks.
    let weight = 1 / Float(max(window.labels, 1))
    var sums = StepSums()
    buckets.beginWindow()
    for part in 0..<settings.accumulate {
      let (batch, origin) = microBatch(part, of: window)
      ranks.log?.mark(Self.data, .forward)
      let tape = Tape(
        .training, precision: settings.precision, origin: origin, validRows: batch.validRows,
        defersWeightGradients: overlap.next, observer: observer)
      // In the forward pass, a synchronized norm sums its statistics over the ranks.
      let logits = try model(tape.input(batch.input), on: tape)
      let loss = CrossEntropyLoss(logits, labels: batch.labels)
      sums.loss += loss.sum
      sums.correct += loss.correct
      ranks.log?.mark(Self.loss, .forward)
      let isLast = part == settings.accumulate - 1
      // At this point all ranks have issued the same collectives: no gradient has been sent, and the backward
      // pass, which may change the order between communicators, has not begun.
      if isLast { sums.add(ranks.fingerprint) }
      // In the backward pass, a bucket of gradients is sent once it and all before it are full.
      try loss.backward(weight: weight, on: tape) { [buckets] parameter in
        if isLast { try buckets.gradientReady(parameter) }
      }
    }
    // These sums are in flight together with the last buckets, so that they add no wait.
    sums.requests = requests()
    sums.add(watch.causes(), rank: ranks.rank)
    sums.overlapVote = ranks.rank == 0 ? overlap.vote : 0
    let pending = try ranks.control.beginSum(sums.storage)
    let gradients = try buckets.finishWindow()
    ranks.log?.mark(Self.bucketsLeft, .backward)
    let totals = StepSums(try pending.wait())
    guard totals.fingerprintsAgree(ranks: ranks.size) else { throw try ranks.fingerprintError() }
    overlap.decide(totals.overlapVote)
    let loss = totals.loss / Double(max(window.labels, 1))
    guard loss.isFinite else {
      throw TrainingFailure(divergedIn: window.step + 1, "the loss is \(loss)")
    }
    let rate = schedule.rate(at: window.step)
    update(by: gradients, learningRate: rate)
    ranks.log?.mark(Self.update, .backward)

    stepsTaken += 1
    let end = monotonicNanoseconds()
    let milliseconds = Double(end - start) / 1e6
    let own = watch.end(milliseconds: milliseconds)
    ranks.log?.step(window.step + 1, from: start, to: end, marks: own.rawValue)
    let isClean = totals.disturbance.isNone && own.isEmpty
    overlap.append(isClean && window.slots.count == wholeBatch ? milliseconds : nil)
    let after = traffic
    return StepResult(
      step: window.step + 1, epoch: window.epoch + 1, loss: loss,
      accuracy: totals.correct / Double(max(window.labels, 1)), learningRate: rate,
      samples: window.slots.count, labels: window.labels, nanoseconds: Int(end - start),
      statistics: after.statistics - before.statistics,
      gradients: after.gradients - before.gradients, control: after.control - before.control,
      requests: totals.requests,
      disturbance: totals.disturbance.union(StepDisturbance(own, rank: ranks.rank)),
      isOverlapTrial: isOverlapTrial)
  }

  /// The samples of one step over all ranks.
  private struct Window {
    let step: Int
    let epoch: Int
    /// The samples' places in the epoch's order.
    let slots: Range<Int>
    /// The number of the samples' labels that count.
    let labels: Int
  }

  private func nextWindow() -> Window {
    let (epoch, stepInEpoch) = stepsTaken.quotientAndRemainder(dividingBy: sampler.stepsPerEpoch)
    if order.epoch != epoch {
      order = (epoch, settings.shuffles ? sampler.order(epoch: epoch) : Array(0..<train.count))
    }
    let slots = sampler.slots(step: stepInEpoch)
    return Window(
      step: stepsTaken, epoch: epoch, slots: slots,
      labels: train.labelCount(order.indices[slots]))
  }

  /// This rank's share of a micro-batch, which may be empty.
  private func microBatch(_ part: Int, of window: Window) -> (Batch, SampleOrigin) {
    let slots = share(
      ranks.rank, of: ranks.size, in: share(part, of: settings.accumulate, in: window.slots))
    let first = slots.lowerBound - window.slots.lowerBound
    let batch = train.batch(Array(order.indices[slots])) { place in
      settings.augmentation.draw(seed: settings.seed, step: window.step, slot: first + place)
    }
    return (batch, SampleOrigin(seed: settings.seed, step: window.step, firstSlot: first))
  }

  private func update(by gradients: [Tensor], learningRate: Double) {
    settings.gradientNormalization.apply(to: gradients, of: model.parameters)
    if let length = settings.clipNorm { clipGradients(gradients, toGlobalNorm: length) }
    optimizer.step(learningRate: learningRate, gradients: gradients)
    model.applyConstraints()
  }

  /// Records what each layer computes; nil if nothing is recorded.
  private var observer: Tape.Observer? {
    ranks.log.map { log in
      { layer, pass in
        log.mark(layer?.event ?? Self.unnamed, pass, isNorm: layer?.isNorm ?? false)
      }
    }
  }

  private var traffic: (statistics: Traffic, gradients: Traffic, control: Traffic) {
    (ranks.statisticsTraffic, ranks.gradients.traffic, ranks.controlTraffic)
  }

  /// The number of samples in a whole global batch.
  package var wholeBatch: Int { sampler.batchSizes.max() ?? 0 }

  /// The number of steps in an epoch.
  public var stepsPerEpoch: Int { sampler.stepsPerEpoch }

  /// Continues as if the given number of steps had been taken.
  package func goOn(after steps: Int) { stepsTaken = steps }
}

extension Model {
  /// Creates your own model, whose synchronized norms take their statistics over `ranks`.
  ///
  /// Collective if a norm's statistics group is not all ranks.
  public init(
    input: Shape, seed: UInt64 = 1, over ranks: RankContext,
    @LayerList _ layers: (ModelBuilder) -> [any Layer]
  ) throws {
    try self.init(
      input: input, seed: seed,
      scopes: { group in
        try RunCheck.divides(group, ranks: ranks.size, place: "statisticsGroup")
        return try ranks.scope(of: group)
      }, layers)
  }
}
