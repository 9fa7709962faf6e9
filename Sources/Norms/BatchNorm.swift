import LockstepAutograd
public import LockstepCollectives
public import LockstepKernels
public import LockstepTensors

/// Batch normalization of each channel, over the samples of all ranks of a communicator.
///
///     μ = mean x,  v = mean (x − μ)²
///     y = γ · (x − μ) / √(v + ε) + β
///
/// with both means over all samples and positions of all ranks. Over ``Solo`` it is per-rank
/// batch norm, over all ranks SyncBatchNorm: one program with two communicators. Ranks may hold
/// different numbers of rows, and none.
///
/// - Shapes: x and y `[…, C]`, γ, β and the running statistics `[C]`.
/// - Communication: one all-reduce of 2·C + 1 float64 forward, or what another ``StatisticsMerge``
///   says; one of 2·C backward, with weight gradients computed while it is in flight; none in
///   evaluation.
/// - Source: Ioffe & Szegedy, 2015, algorithm 1, <https://arxiv.org/abs/1502.03167>.
public enum BatchNorm {
  /// The moments of a batch over all ranks.
  public struct Moments: Sendable {
    /// The rows of all ranks.
    public let count: Double
    /// μ by channel.
    public let means: [Double]
    /// v by channel, over `count`.
    public let variances: [Double]

    /// The moments of `count` rows.
    public init(count: Double, means: [Double], variances: [Double]) {
      (self.count, self.means, self.variances) = (count, means, variances)
    }
  }

  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let center: ColumnCenter
    let scale: Tensor
    let bias: Tensor
    let inverses: [Double]
    /// The rows of all ranks, or nil where the statistics were not the batch's.
    let count: Double?

    /// y, computed from what is kept.
    func output(_ epilogue: NormEpilogue) -> Tensor {
      let y = Tensor.uninitialized(x.shape, x.precision)
      Kernel.columnNormalize(x, center, scale: scale, bias: bias, epilogue: epilogue, into: y)
      return y
    }
  }

  /// The moments of x over all ranks, which agree by `merge`; the shift K has to be the same on all.
  public static func moments(
    _ x: Tensor, shift: Tensor, merge: StatisticsMerge = .shiftedMoments,
    over communicator: any Communicator, for purpose: Purpose = .control
  ) throws(CommunicationError) -> Moments {
    let (count, offsets, variances) = try merge.moments(
      x, shift: shift, over: communicator, for: purpose)
    return Moments(
      count: count,
      means: offsets.indices.map { Double(shift.storage[shift.offset + $0]) + offsets[$0] },
      variances: variances)
  }

  /// y of x by given moments: the batch's, or running ones whose `count` is nil.
  public static func normalize(
    _ x: Tensor, means: [Double], variances: [Double], count: Double?, gain: Tensor,
    bias: Tensor, epsilon: Double, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    // Without rows there is no variance, and nothing to multiply.
    let inverses = variances.map { count == 0 ? 0 : 1 / ($0 + epsilon).squareRoot() }
    let center = ColumnCenter(means)
    let scale = Tensor(
      zip(gain.elements, inverses).map { Float(Double($0) * $1) }, shape: gain.shape)
    let saved = Saved(
      x: x, center: center, scale: scale, bias: bias, inverses: inverses, count: count)
    return (saved.output(epilogue), saved)
  }

  /// y of x by running statistics.
  public static func normalize(
    _ x: Tensor, _ running: RunningStatistics, gain: Tensor, bias: Tensor, epsilon: Double,
    epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    normalize(
      x, means: running.mean.value.elements.map(Double.init),
      variances: running.variance.value.elements.map(Double.init), count: nil, gain: gain,
      bias: bias, epsilon: epsilon, epilogue: epilogue)
  }

  /// y of x by the moments of all ranks' batches.
  public static func forward(
    _ x: Tensor, shift: Tensor, gain: Tensor, bias: Tensor, epsilon: Double,
    epilogue: NormEpilogue = .none, merge: StatisticsMerge = .shiftedMoments,
    over communicator: any Communicator, for purpose: Purpose = .control
  ) throws(CommunicationError) -> (y: Tensor, saved: Saved, moments: Moments) {
    let moments = try moments(x, shift: shift, merge: merge, over: communicator, for: purpose)
    let (y, saved) = normalize(
      x, means: moments.means, variances: moments.variances, count: moments.count, gain: gain,
      bias: bias, epsilon: epsilon, epilogue: epilogue)
    return (y, saved, moments)
  }

  /// What flows back.
  public struct Gradients: Sendable {
    /// The input's gradient.
    public let dx: Tensor
    /// dγ and dβ of this rank's rows alone.
    public let own: (gain: [Double], bias: [Double])
    /// dγ and dβ of all ranks' rows.
    public let summed: (gain: [Double], bias: [Double])
  }

  /// The gradients of x, gain and bias.
  ///
  ///     t = x − μ,  r = 1 / √(v + ε),  n rows over all ranks
  ///     dβ = Σ dy,  dγ = Σ dy · t · r                 over all ranks
  ///     dx = γ · r · (dy − dβ / n − t · r · dγ / n)
  ///
  /// By running statistics only the first term of dx is left, and nothing is sent.
  ///
  /// `exchange` says how the two sums travel, and what is computed meanwhile.
  public static func backward(
    _ dy: OutputGradient, gain: Tensor, saved: Saved, over communicator: any Communicator,
    exchange: StatisticsExchange = StatisticsExchange()
  ) throws -> Gradients {
    let channels = gain.count
    let own = Storage<Double>(count: 2 * channels, filledWith: 0)
    Kernel.addColumnGradientSums(saved.x, dy, saved.center, to: own)
    let summed = saved.count == nil ? own : try exchange.sum(own, over: communicator)
    let gains = gain.elements
    let n = saved.count.map { max($0, 1) }
    var (scale, shift, slope) = (gains, gains, gains)
    for c in 0..<channels {
      let r = saved.inverses[c]
      let a = Double(gains[c]) * r
      scale[c] = Float(a)
      shift[c] = n.map { Float(a * summed[c] / $0) } ?? 0
      slope[c] = n.map { Float(a * r * summed[channels + c] / $0) } ?? 0
    }
    let dx = Kernel.columnGradient(
      saved.x, dy, saved.center, inverse: Tensor(saved.inverses.map(Float.init), shape: gain.shape),
      scale: Tensor(scale, shape: gain.shape), shift: Tensor(shift, shape: gain.shape),
      slope: Tensor(slope, shape: gain.shape))
    func split(_ sums: Storage<Double>) -> (gain: [Double], bias: [Double]) {
      ((0..<channels).map { sums[channels + $0] * saved.inverses[$0] }, sums.copy(0..<channels))
    }
    return Gradients(dx: dx, own: split(own), summed: split(summed))
  }
}
