public import LockstepAutograd
public import LockstepCollectives
import LockstepKernels
public import LockstepTensors
import LockstepWhiteningKernels

/// Whitening of groups of channels, over the samples of all ranks of a communicator.
///
///     μ = mean x,  S = mean (x − μ)(x − μ)ᵀ
///     y = γ · (S + ε · I)^(−1/2) · (x − μ) + β
///
/// with both means over all samples and positions of all ranks, the symmetric root (ZCA), and one S for each
/// of `groups` runs of neighbouring channels. In groups of one channel it is ``BatchNorm``. Ranks may hold
/// different numbers of rows, and none.
///
/// With w channels a group, S of n rows has rank n − 1 at most: with fewer than w + 1 rows ε alone keeps its
/// root finite, and what is divided by √ε is noise. The root takes about w³ operations a group and pass on
/// every rank, so groups should be narrow; Huang et al. take 16 channels.
///
/// - Shapes: x and y `[…, C]`, γ, β and the running mean `[C]`, the running covariance `[groups, w, w]` with
///   w = C / groups; `groups` divides C.
/// - Communication: one all-reduce of C · w + C + 1 float64 forward; one of C · w + C backward, with weight
///   gradients computed while it is in flight; none in evaluation.
/// - Source: Huang et al., 2018, <https://arxiv.org/abs/1804.08450>.
public enum Whitening {
  /// The moments of a batch over all ranks.
  public struct Moments: Sendable {
    /// The rows of all ranks.
    public let count: Double
    /// μ by channel.
    public let means: [Double]
    /// S by group, over `count`.
    public let covariances: [Double]
  }

  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let means: [Double]
    let gain: [Double]
    let roots: [InverseRoot]
    /// (S + ε · I)^(−1/2) by group.
    let matrices: [Double]
    /// The rows of all ranks, or nil where the statistics were not the batch's.
    let count: Double?

    var width: Int { means.count / roots.count }
    /// The places of a group's matrix.
    func matrix(_ group: Int) -> Range<Int> {
      group * width * width..<(group + 1) * width * width
    }
  }

  /// The moments of x over all ranks; the shift K has to be the same on all.
  ///
  /// What is summed in float64 is [Σ (x − K)(x − K)ᵀ by group, Σ (x − K), n].
  public static func moments(
    _ x: Tensor, shift: Tensor, groups: Int, over communicator: any Communicator,
    for purpose: Purpose = .control
  ) throws(CommunicationError) -> Moments {
    let channels = x.shape.channels
    let width = channels / groups
    let shifts = shift.elements.map(Double.init)
    let sums = Storage<Double>(count: channels * width + channels + 1, filledWith: 0)
    let shifted = Centered(x, less: shifts)
    Kernel.addGroupProducts(shifted, shifted, groups: groups, to: sums)
    sums[sums.count - 1] = Double(x.shape.rows)
    try sums.withMutableSpan(0..<sums.count) { span throws(CommunicationError) in
      try communicator.sum(&span, for: purpose)
    }
    let n = max(sums[sums.count - 1], 1)
    let offsets = (0..<channels).map { sums[channels * width + $0] / n }
    var covariances = sums.copy(0..<channels * width)
    for i in 0..<channels {
      for j in 0..<width {
        let other = i - i % width + j
        let value = covariances[i * width + j] / n - offsets[i] * offsets[other]
        covariances[i * width + j] = other == i ? max(0, value) : value
      }
    }
    return Moments(
      count: sums[sums.count - 1], means: zip(shifts, offsets).map { $0 + $1 },
      covariances: covariances)
  }

  /// y of x by given moments: the batch's, or running ones whose `count` is nil.
  public static func normalize(
    _ x: Tensor, means: [Double], covariances: [Double], count: Double?, groups: Int, gain: Tensor,
    bias: Tensor, epsilon: Double
  ) -> (y: Tensor, saved: Saved) {
    let channels = means.count
    precondition(channels % groups == 0, "\(groups) groups of \(channels) channels")
    let width = channels / groups
    precondition(covariances.count == channels * width)
    let roots = (0..<groups).map { group in
      // Without rows there is no covariance, whose root might not exist, and nothing to multiply.
      InverseRoot(
        covariances[group * width * width..<(group + 1) * width * width], size: width,
        epsilon: count == 0 ? 1 : epsilon)
    }
    let gains = gain.elements.map(Double.init)
    let saved = Saved(
      x: x, means: means, gain: gains, roots: roots, matrices: roots.flatMap(\.value), count: count)
    let scaled = saved.matrices.indices.map {
      saved.matrices[$0] * gains[$0 / (width * width) * width + $0 % width]
    }
    let y = Kernel.groupTransform(
      Centered(x, less: means), by: scaled, bias: bias.elements.map(Double.init), groups: groups)
    return (y, saved)
  }

  /// y of x by the moments of all ranks' batches.
  public static func forward(
    _ x: Tensor, shift: Tensor, groups: Int, gain: Tensor, bias: Tensor, epsilon: Double,
    over communicator: any Communicator, for purpose: Purpose = .control
  ) throws(CommunicationError) -> (y: Tensor, saved: Saved, moments: Moments) {
    let moments = try moments(x, shift: shift, groups: groups, over: communicator, for: purpose)
    let (y, saved) = normalize(
      x, means: moments.means, covariances: moments.covariances, count: moments.count,
      groups: groups, gain: gain, bias: bias, epsilon: epsilon)
    return (y, saved, moments)
  }

  /// The gradients of x, gain and bias.
  ///
  ///     t = x − μ,  W = (S + ε · I)^(−1/2),  n rows over all ranks
  ///     Q = Σ t · dyᵀ,  dβ = Σ dy                          over all ranks
  ///     dγ_c = Σ_i W_ic · Q_ic,  dW_ij = Q_ij · γ_j
  ///     dx = W · (γ · (dy − dβ / n)) + 2 / n · dS · t
  ///
  /// with dS what flows back from dW through the root, made symmetric. By running statistics only
  /// W · (γ · dy) is left of dx, and nothing is sent.
  ///
  /// `exchange` says what the sums are for, and what is computed while they travel.
  public static func backward(
    _ dy: Tensor, saved: Saved, over communicator: any Communicator,
    exchange: StatisticsExchange = StatisticsExchange()
  ) throws -> BatchNorm.Gradients {
    let (channels, width, groups) = (saved.means.count, saved.width, saved.roots.count)
    let zeros = [Double](repeating: 0, count: channels)
    let t = Centered(saved.x, less: saved.means)
    let own = Storage<Double>(count: channels * width + channels, filledWith: 0)
    Kernel.addGroupProducts(t, Centered(dy, less: zeros), groups: groups, to: own)
    let summed = saved.count == nil ? own : try exchange.sum(own, over: communicator)
    let back = saved.matrices.indices.map { saved.matrices[$0] * saved.gain[$0 / width] }
    let dx: Tensor
    if let count = saved.count {
      let n = max(count, 1)
      let slopes = (0..<groups).flatMap { group in
        let gradient = saved.matrix(group).map {
          summed[$0] * saved.gain[group * width + $0 % width]
        }
        return saved.roots[group].gradient(gradient).map { 2 / n * $0 }
      }
      let means = (0..<channels).map { summed[channels * width + $0] / n }
      dx = Kernel.groupTransform(
        Centered(dy, less: means), by: back, adding: (t, slopes), bias: zeros, groups: groups)
    } else {
      dx = Kernel.groupTransform(
        Centered(dy, less: zeros), by: back, bias: zeros, groups: groups)
    }
    func split(_ sums: Storage<Double>) -> (gain: [Double], bias: [Double]) {
      var gain = zeros
      for place in saved.matrices.indices {
        gain[place / (width * width) * width + place % width] +=
          saved.matrices[place] * sums[place]
      }
      return (gain, sums.copy(channels * width..<sums.count))
    }
    return BatchNorm.Gradients(dx: dx, own: split(own), summed: split(summed))
  }
}

extension Whitening {
  /// A whitening norm's running mean and covariance.
  ///
  /// They are moved as ``RunningStatistics`` are, with the unbiased covariance.
  public final class Running {
    /// `running_mean` `[C]`, from 0.
    public let mean: Buffer
    /// `running_cov` `[groups, C / groups, C / groups]`, from the identity.
    public let covariance: Buffer
    /// `num_batches_tracked`.
    public let batches: Counter
    /// The number of groups.
    let groups: Int

    /// Statistics before the first batch.
    public init(_ name: String, channels: Int, groups: Int) {
      // A model is made before its norms' places are checked: groups may not divide the channels yet.
      let width = channels / groups
      let identity = (0..<groups * width * width).map {
        Float($0 / width % width == $0 % width ? 1 : 0)
      }
      mean = Buffer("\(name).running_mean", .zeros([channels]))
      covariance = Buffer(
        "\(name).running_cov", Tensor(identity, shape: [groups, width, width]))
      batches = Counter("\(name).num_batches_tracked")
      self.groups = groups
    }

    /// Takes in a batch's moments, unless it has fewer than two rows.
    public func update(_ moments: Moments, momentum: Double?) {
      guard moments.count > 1 else { return }
      batches.value += 1
      let weight = momentum ?? 1 / Double(batches.value)
      let unbiased = moments.count / (moments.count - 1)
      RunningStatistics.blend(moments.means, into: mean, weight: weight)
      RunningStatistics.blend(
        moments.covariances.map { $0 * unbiased }, into: covariance, weight: weight)
    }
  }

  /// `whitening`: the norm as a layer of a model.
  struct Module: Norm {
    static let kind = NormKind.whitening
    static let statistics = NormStatistics.batch
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Double?>.momentum, NormSetting<Bool>.affine,
      NormSetting<Int>.groups, NormSetting<Bool>.masked,
      NormSetting<StatisticsGroup>.statisticsGroup, NormSetting<StatisticsOverlap>.overlap,
    ]
    static let traffic = NormTraffic.more
    static func synchronizes(_ settings: NormSettings) -> Bool { true }

    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      guard site.channels % settings.groups != 0 else { return nil }
      return NormProblem(
        "groups \(settings.groups) does not divide the \(site.channels) channels of \(site.name)",
        setting: "groups")
    }

    static func problem(at site: NormSite, _ settings: NormSettings, rows: Int) -> NormProblem? {
      let width = site.channels / settings.groups
      if rows == 1 { return NormProblem("one value a channel has no variance") }
      guard rows <= width else { return nil }
      let text = "\(rows) rows have no covariance of full rank for groups of \(width) channels"
      return settings.epsilon == 0
        ? NormProblem(text + ", so that epsilon must not be 0", setting: "epsilon")
        : NormProblem(text + ", so that epsilon alone bounds the output", isWarning: true)
    }

    private let name: LayerName
    private let affine: Affine
    private let running: Running
    private let scope: StatisticsScope
    private let epsilon: Double
    private let momentum: Double?

    var parameters: [Parameter] { affine.parameters }
    var buffers: [Buffer] { [running.mean, running.covariance] }
    var counters: [Counter] { [running.batches] }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      self.scope = scope.synchronized
      affine = Affine(
        site, affine: settings.affine, isSummedByLayer: scope.synchronized.coversAllRanks)
      running = Running(site.name, channels: site.channels, groups: settings.groups)
      (epsilon, momentum, name) = (settings.epsilon, settings.momentum, site.layerName)
    }

    func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
      guard tape.mode == .training else {
        let y = Whitening.normalize(
          x.value, means: running.mean.value.elements.map(Double.init),
          covariances: running.covariance.value.elements.map(Double.init), count: nil,
          groups: running.groups, gain: affine.gainValue, bias: affine.biasValue, epsilon: epsilon
        ).y
        return tape.record(y, by: name, inputPullback: { _, _ in })
      }
      let (y, saved, moments) = try Whitening.forward(
        x.value, shift: running.mean.value, groups: running.groups, gain: affine.gainValue,
        bias: affine.biasValue, epsilon: epsilon, over: scope.communicator,
        for: .statistics(name.event, .forward))
      running.update(moments, momentum: momentum)
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [affine, scope, name, gradient = x.gradient] dy, backward in
          let exchange = StatisticsExchange(
            for: .statistics(name.event, .backward), meanwhile: backward.computeDeferred)
          let gradients = try Whitening.backward(
            dy, saved: saved, over: scope.communicator, exchange: exchange)
          gradient?.add(gradients.dx)
          let own = scope.coversAllRanks ? gradients.summed : gradients.own
          affine.gain?.contribute(own.gain[...])
          affine.bias?.contribute(own.bias[...])
        }, waitsForRanks: scope.communicates)
    }
  }
}

extension NormKind {
  /// Batch norm that also makes the channels of a group uncorrelated.
  public static let whitening: NormKind = "whitening"
}
