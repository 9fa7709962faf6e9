import LockstepAutograd
public import LockstepCollectives
public import LockstepKernels
public import LockstepTensors

/// Batch normalization that is corrected towards the running statistics.
///
///     μ, v the moments of the batch,  M, V the running ones
///     r = √(v + ε) / √(V + ε)  within [1 / maximumScale, maximumScale]
///     d = (μ − M) / √(V + ε)   within ±maximumShift
///     y = γ · ((x − μ) / √(v + ε) · r + d) + β
///
/// r and d carry no gradient. As long as neither is at its limit, training normalizes by the running
/// statistics, as evaluation does; with r = 1 and d = 0 this is ``BatchNorm``.
///
/// - Shapes: x and y `[…, C]`, γ, β and the running statistics `[C]`.
/// - Communication: that of ``BatchNorm``: none over one rank, which is the default.
/// - Source: Ioffe, 2017, algorithm 1, <https://arxiv.org/abs/1702.03275>.
public enum BatchRenorm {
  /// How far the correction goes.
  public struct Limits: Hashable, Sendable {
    /// The largest r; the least is one over it.
    public let scale: Double
    /// The largest |d|.
    public let shift: Double

    /// Limits of r, at least 1, and of d, at least 0.
    public init(scale: Double, shift: Double) {
      precondition(scale >= 1 && shift >= 0, "limits \(scale) and \(shift)")
      self.scale = scale
      self.shift = shift
    }
  }

  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let batch: BatchNorm.Saved
    /// γ · r, the gain of the batch norm that this is.
    let gain: Tensor
    let scales: [Double]
    let shifts: [Double]
  }

  /// y of x by the moments of all ranks' batches, corrected towards `running`, which it does not
  /// update.
  public static func forward(
    _ x: Tensor, _ running: RunningStatistics, gain: Tensor, bias: Tensor, epsilon: Double,
    epilogue: NormEpilogue = .none, limits: Limits, merge: StatisticsMerge = .shiftedMoments,
    over communicator: any Communicator, for purpose: Purpose = .control
  ) throws(CommunicationError) -> (y: Tensor, saved: Saved, moments: BatchNorm.Moments) {
    let runningMean = running.mean.value
    let moments = try BatchNorm.moments(
      x, shift: runningMean, merge: merge, over: communicator, for: purpose)
    let deviations = running.variance.value.elements.map { (Double($0) + epsilon).squareRoot() }
    let scales = zip(moments.variances, deviations).map {
      min(max(($0 + epsilon).squareRoot() / $1, 1 / limits.scale), limits.scale)
    }
    let shifts = zip(zip(moments.means, runningMean.elements), deviations).map {
      min(max(($0.0 - Double($0.1)) / $1, -limits.shift), limits.shift)
    }
    let gains = gain.elements
    let (scaled, shifted) = (
      zip(gains, scales).map { Float(Double($0) * $1) },
      bias.elements.indices.map { Float(Double(gains[$0]) * shifts[$0]) }
    )
    let correctedGain = Tensor(scaled, shape: gain.shape)
    let (y, saved) = BatchNorm.normalize(
      x, means: moments.means, variances: moments.variances, count: moments.count,
      gain: correctedGain,
      bias: Tensor(zip(shifted, bias.elements).map { $0 + $1 }, shape: bias.shape),
      epsilon: epsilon, epilogue: epilogue)
    return (y, Saved(batch: saved, gain: correctedGain, scales: scales, shifts: shifts), moments)
  }

  /// The gradients of x, gain and bias.
  ///
  /// They are those of the batch norm whose gain is γ · r, but for
  ///
  ///     dγ = r · Σ dy · (x − μ) / √(v + ε) + d · Σ dy
  public static func backward(
    _ dy: OutputGradient, saved: Saved, over communicator: any Communicator,
    exchange: StatisticsExchange = StatisticsExchange()
  ) throws -> BatchNorm.Gradients {
    let gradients = try BatchNorm.backward(
      dy, gain: saved.gain, saved: saved.batch, over: communicator, exchange: exchange)
    func corrected(_ sums: (gain: [Double], bias: [Double])) -> (gain: [Double], bias: [Double]) {
      let gain = sums.gain.indices.map {
        saved.scales[$0] * sums.gain[$0] + saved.shifts[$0] * sums.bias[$0]
      }
      return (gain, sums.bias)
    }
    return BatchNorm.Gradients(
      dx: gradients.dx, own: corrected(gradients.own), summed: corrected(gradients.summed))
  }
}

/// `batch-renorm`: ``BatchRenorm`` as a layer of a model.
struct BatchRenormLayer: BatchStatisticsNorm {
  static let kind = NormKind.batchRenorm
  static let settings: [any NormSettingDescription] =
    SyncBatchNorm.settings.filter { $0.name != "every" } + [
      NormSetting<Bool>.synchronized, NormSetting<Double>.maximumScale,
      NormSetting<Double>.maximumShift,
    ]
  static func synchronizes(_ settings: NormSettings) -> Bool { settings.synchronized }
  let module: BatchNorm.Module

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
    module = BatchNorm.Module(
      site, settings, settings.synchronized ? scope.synchronized : .thisRank,
      limits: BatchRenorm.Limits(scale: settings.maximumScale, shift: settings.maximumShift))
  }
}

extension NormKind {
  /// Batch norm corrected towards its running statistics.
  public static let batchRenorm: NormKind = "batch-renorm"
}

extension NormSetting where Value == Bool {
  /// Whether batch-renorm norm takes its statistics over all ranks' samples.
  public static let synchronized = NormSetting("synchronized", default: false)
}

extension NormSetting where Value == Double {
  /// The largest scale correction of a batch-renorm norm.
  public static let maximumScale = NormSetting(
    "maximumScale", default: 3, in: 1 ... .greatestFiniteMagnitude)
  /// The largest shift correction of a batch-renorm norm, in running deviations.
  public static let maximumShift = NormSetting(
    "maximumShift", default: 5, in: 0 ... .greatestFiniteMagnitude)
}

extension NormSettings {
  /// Whether batch-renorm norm takes its statistics over all ranks' samples.
  public var synchronized: Bool {
    get { self[.synchronized] }
    set { self[.synchronized] = newValue }
  }

  /// The largest scale correction of a batch-renorm norm.
  public var maximumScale: Double {
    get { self[.maximumScale] }
    set { self[.maximumScale] = newValue }
  }

  /// The largest shift correction of a batch-renorm norm, in running deviations.
  public var maximumShift: Double {
    get { self[.maximumShift] }
    set { self[.maximumShift] = newValue }
  }
}
