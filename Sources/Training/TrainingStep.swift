import Autograd
import Collectives
import DataParallel
import Datasets
import Layers
import Measurement
import Models
import Optimizers
import Tensors

/// A micro-batch of this rank: its share of the samples, which may be none.
struct MicroBatch {
  let batch: Batch
  let origin: SampleOrigin
}

/// One replica's way of taking a step: forward and backward over the window's micro-batches,
/// gradients summed over all ranks, one update.
final class TrainingStep {
  private let model: Model
  /// What updates the parameters.
  let optimizer: Optimizer
  private let synchronizer: GradientSynchronizer
  private let context: RankContext
  private let clipNorm: Double?
  private let normalization: GradientNormalization
  private let log: EventLog?
  private let layers: [ObjectIdentifier: EventName]

  private static let data = EventName(StepPart.data)
  private static let loss = EventName(StepPart.loss)
  private static let buckets = EventName(StepPart.buckets)
  private static let optimizer = EventName(StepPart.optimizer)
  private static let withoutParameters = EventName(StepPart.withoutParameters)

  init(
    _ model: Model, optimizer: OptimizerSettings, context: RankContext,
    buckets: BucketSettings = BucketSettings(), overlaps: Bool = true, clipNorm: Double? = nil,
    normalization: GradientNormalization = .none
  ) {
    self.model = model
    self.context = context
    synchronizer = GradientSynchronizer(
      model.parameters, over: context.gradients, settings: buckets, overlaps: overlaps)
    // After the gradients have moved into their buckets: its state takes the memory that they left.
    self.optimizer = Optimizer(optimizer, model.parameters)
    self.clipNorm = clipNorm
    self.normalization = normalization
    log = context.log
    layers = Dictionary(
      uniqueKeysWithValues: model.parameters.map { parameter in
        let name = parameter.name
        return (
          ObjectIdentifier(parameter),
          EventName(String(name[..<(name.lastIndex(of: ".") ?? name.endIndex)]))
        )
      })
  }

  /// Takes a step.
  ///
  /// - Parameters:
  ///   - number: The step's number for messages, from 1.
  ///   - labels: The labels of all micro-batches of all ranks.
  ///   - accumulate: How many micro-batches the window has.
  ///   - learningRate: The rate of the update.
  ///   - requests: What this rank asks of all, asked once.
  ///   - disturbance: What has come between this rank and its processor, asked at the end of backward.
  ///   - overlap: Whether weight gradients are put off until statistics are in flight; told what rank 0 has
  ///     decided.
  ///   - microBatch: Makes this rank's part of a micro-batch.
  /// - Returns: the mean loss before the update and the share classified right, over all ranks, what any
  ///   rank asks of all, and what disturbed any of them until the end of backward.
  /// - Throws: ``TrainingFailure`` on all ranks if the loss is not finite; `CommunicationError` on all
  ///   ranks if they have not issued the same collectives.
  func run(
    number: Int, labels: Int, accumulate: Int, learningRate: Double,
    requests: () -> StepRequests = { StepRequests() },
    disturbance: () -> StepDisturbance.Causes = { [] }, overlap: OverlapTrial? = nil,
    _ microBatch: (Int) -> MicroBatch
  ) throws -> (
    loss: Double, accuracy: Double, requests: StepRequests, disturbance: StepDisturbance
  ) {
    // The one weight: everything after it is a plain sum over micro-batches and ranks.
    let weight = 1 / Float(max(labels, 1))
    var sums = StepSums()
    log?.beginSegment()
    synchronizer.beginWindow()
    for index in 0..<accumulate {
      let part = microBatch(index)
      log?.mark(Self.data, .forward)
      let tape = Tape(
        .training, origin: part.origin, validRows: part.batch.validRows,
        defersWeightGradients: overlap?.next ?? false)
      if let log {
        tape.onLayer = { [layers] parameter, isBackward in
          log.mark(
            parameter.flatMap { layers[ObjectIdentifier($0)] } ?? Self.withoutParameters,
            isBackward ? .backward : .forward)
        }
      }
      let logits = try model(tape.input(part.batch.input), on: tape)
      let loss = CrossEntropyLoss(logits, labels: part.batch.labels)
      sums.loss += loss.sum
      sums.correct += loss.correct
      log?.mark(Self.loss, .forward)
      if index == accumulate - 1 {
        // Here all ranks have issued the same: no gradient has left, and backward, which may change the
        // order between communicators, has not begun.
        sums.add(context.fingerprint)
        tape.onGradientReady = { [synchronizer] in try synchronizer.gradientReady($0) }
      }
      try loss.backward(weight: weight, on: tape)
    }
    // In flight with the last buckets, so that it costs no wait of its own.
    sums.requests = requests()
    sums.add(disturbance(), rank: context.rank)
    sums.overlapVote = context.rank == 0 ? overlap?.vote ?? 0 : 0
    let pending = try context.control.beginSum(sums.storage)
    let gradients = try synchronizer.finishWindow()
    log?.mark(Self.buckets, .backward)
    let totals = StepSums(try pending.wait())
    guard totals.fingerprintsAgree(ranks: context.size) else {
      throw try context.fingerprintError()
    }
    overlap?.decide(totals.overlapVote)
    let loss = totals.loss / Double(max(labels, 1))
    guard loss.isFinite else {
      throw TrainingFailure(divergedIn: number, "the loss is \(loss)")
    }
    normalization.apply(to: gradients, of: model.parameters)
    if let clipNorm { clipGradients(gradients, toGlobalNorm: clipNorm) }
    optimizer.step(learningRate: learningRate, gradients: gradients)
    model.applyConstraints()
    log?.mark(Self.optimizer, .backward)
    return (
      loss, totals.correct / Double(max(labels, 1)), totals.requests, totals.disturbance
    )
  }
}
