import LockstepAutograd
public import LockstepCollectives
import LockstepKernels
import LockstepTensors

/// Over which ranks a batch norm takes its statistics.
public struct StatisticsScope {
  /// The ranks whose batches are one.
  public let communicator: any Communicator
  /// Whether these are all ranks, so that what is summed over them is final.
  public let coversAllRanks: Bool
  /// For each rank of the job, the first of those that it shares statistics with; empty where these are all ranks
  /// or it alone, or where it is not known.
  public let firstRanks: [Int]

  /// Statistics over the ranks of `communicator`.
  public init(_ communicator: any Communicator, coversAllRanks: Bool, firstRanks: [Int] = []) {
    self.communicator = communicator
    self.coversAllRanks = coversAllRanks
    self.firstRanks = firstRanks
  }

  /// Per-rank statistics.
  public static var thisRank: StatisticsScope { StatisticsScope(Solo(), coversAllRanks: false) }

  /// Whether statistics over these ranks are communicated, if only with this rank itself.
  public var communicates: Bool { !(communicator is Solo) }
}

/// A norm whose layer is a ``BatchNorm/Module``.
protocol BatchStatisticsNorm: Norm, FusedLayer {
  var module: BatchNorm.Module { get }
}

extension BatchStatisticsNorm {
  static var statistics: NormStatistics { .batch }
  var parameters: [Parameter] { module.parameters }
  var buffers: [Buffer] { module.buffers }
  var counters: [Counter] { module.counters }

  func callAsFunction(
    _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
  ) throws -> Variable { try module(x, adding: residual, rectified: rectified, on: tape) }
}

/// `batch`: ``BatchNorm`` over this rank's samples.
struct PerRankBatchNorm: BatchStatisticsNorm {
  static let kind = NormKind.batch
  static let settings: [any NormSettingDescription] = [
    NormSetting<Double>.epsilon, NormSetting<Double?>.momentum, NormSetting<Bool>.affine,
    NormSetting<Bool>.masked, NormSetting<Int>.ghostBatch,
  ]
  let module: BatchNorm.Module

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
    module = BatchNorm.Module(site, settings, .thisRank)
  }
}

/// `sync-batch`: ``BatchNorm`` over the samples of all ranks, or of a statistics group's.
struct SyncBatchNorm: BatchStatisticsNorm {
  static let kind = NormKind.syncBatch
  static let settings: [any NormSettingDescription] =
    PerRankBatchNorm.settings.filter { $0.name != "ghostBatch" } + [
      NormSetting<Int>.every, NormSetting<StatisticsGroup>.statisticsGroup,
      NormSetting<StatisticsMerge>.merge,
      NormSetting<StatisticsOverlap>.overlap,
    ]
  static let traffic = NormTraffic.twice
  static func synchronizes(_ settings: NormSettings) -> Bool { true }
  let module: BatchNorm.Module

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
    module = BatchNorm.Module(site, settings, scope.synchronized, every: settings.every)
  }
}

extension NormKind {
  /// Batch norm over this rank's samples.
  public static let batch: NormKind = "batch"
  /// Batch norm over all ranks' samples.
  public static let syncBatch: NormKind = "sync-batch"
}

extension BatchNorm {
  /// The norm as a layer of a model; with `limits`, it is ``BatchRenorm``.
  struct Module: FusedLayer {
    private let affine: Affine
    private let running: RunningStatistics
    private let scope: StatisticsScope
    private let epsilon: Double
    private let momentum: Double?
    private let merge: StatisticsMerge
    private let limits: BatchRenorm.Limits?
    /// The statistics are over all ranks of the scope in every so many steps, and over this rank between them.
    private let every: Int
    private let sumsParameters: Bool
    private let name: LayerName

    var parameters: [Parameter] { affine.parameters }
    var buffers: [Buffer] { [running.mean, running.variance] }
    var counters: [Counter] { [running.batches] }

    init(
      _ site: NormSite, _ settings: NormSettings, _ scope: StatisticsScope,
      limits: BatchRenorm.Limits? = nil, every: Int = 1
    ) {
      self.every = every
      // Where the layer's own collective is left out now and then, the gradients travel with the others.
      sumsParameters = scope.coversAllRanks && every == 1
      affine = Affine(site, affine: settings.affine, isSummedByLayer: sumsParameters)
      running = RunningStatistics(site.name, channels: site.channels)
      self.scope = scope
      (epsilon, momentum, merge) = (settings.epsilon, settings.momentum, settings.merge)
      self.limits = limits
      name = site.layerName
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) throws -> Variable {
      let epilogue = NormEpilogue(adding: residual, rectifies: rectified, of: x.value, on: tape)
      guard tape.mode == .training else {
        return tape.record(
          BatchNorm.normalize(
            x.value, running, gain: affine.gainValue, bias: affine.biasValue, epsilon: epsilon,
            epilogue: epilogue
          ).y, by: name, inputPullback: { _, _ in })
      }
      let isDue = tape.origin.step % every == 0
      let synchronizes = scope.communicates && isDue
      // A merge that is made for messages would only cost digits or a second pass where nothing is sent.
      let merge = synchronizes ? merge : .shiftedMoments
      let (y, saved, moments, pullback) = try normalize(
        x.value, epilogue, merge, over: synchronizes ? scope.communicator : Solo())
      let tail = FusedTail(residual, epilogue, y) { saved.output($0) }
      // Moments of this rank alone would leave each rank with running statistics of its own.
      if isDue { running.update(moments, momentum: momentum) }
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: {
          [affine, sumsParameters, name, merge, gradient = x.gradient] dy, backward in
          let exchange = StatisticsExchange(
            merge, for: .statistics(name.event, .backward), meanwhile: backward.computeDeferred)
          let dy = tail.gradient(dy, backward)
          let gradients = try pullback(dy, exchange)
          gradient?.add(gradients.dx)
          tail.flow(dy)
          let own = sumsParameters ? gradients.summed : gradients.own
          affine.gain?.contribute(own.gain[...])
          affine.bias?.contribute(own.bias[...])
        }, waitsForRanks: synchronizes, addsGradients: true, again: tail.again)
    }

    private typealias Pullback = (
      _ dy: OutputGradient, _ exchange: StatisticsExchange
    ) throws -> Gradients

    private func normalize(
      _ x: Tensor, _ epilogue: NormEpilogue, _ merge: StatisticsMerge,
      over communicator: any Communicator
    ) throws -> (y: Tensor, saved: Saved, moments: Moments, Pullback) {
      let (gain, bias) = (affine.gainValue, affine.biasValue)
      let purpose = Purpose.statistics(name.event, .forward)
      if let limits {
        let (y, saved, moments) = try BatchRenorm.forward(
          x, running, gain: gain, bias: bias, epsilon: epsilon, epilogue: epilogue, limits: limits,
          merge: merge, over: communicator, for: purpose)
        return (
          y, saved.batch, moments,
          { try BatchRenorm.backward($0, saved: saved, over: communicator, exchange: $1) }
        )
      }
      let (y, saved, moments) = try BatchNorm.forward(
        x, shift: running.mean.value, gain: gain, bias: bias, epsilon: epsilon,
        epilogue: epilogue, merge: merge, over: communicator, for: purpose)
      return (
        y, saved, moments,
        { try BatchNorm.backward($0, gain: gain, saved: saved, over: communicator, exchange: $1) }
      )
    }
  }
}
