import LockstepAutograd
import LockstepKernelLoops
public import LockstepKernels
public import LockstepTensors

/// Group normalization of each sample.
///
///     μ = mean x,  v = mean (x − μ)²
///     y = γ · (x − μ) / √(v + ε) + β
///
/// with both means over one sample's positions and the channels of one group: C / groups
/// neighbours.
///
/// - Shapes: x and y `[N, positions…, C]`, γ and β `[C]`; `groups` divides C.
/// - Communication: none.
/// - Source: Wu & He, 2018, eq. 7, <https://arxiv.org/abs/1803.08494>.
public enum GroupNorm {
  /// What the forward pass keeps for the backward pass.
  public enum Saved: Sendable {
    /// One position a sample: every group is a row of its own.
    case rows(Tensor, width: Int, Tensor)
    /// The means of each sample's channels, `[N · C]`, and 1 / √(v + ε) of each sample's groups,
    /// `[N · groups]`.
    case samples(Tensor, ColumnCenter, inverses: [Double])
  }

  /// y of x.
  public static func forward(
    _ x: Tensor, groups: Int, gain: Tensor, bias: Tensor, epsilon: Double
  ) -> (y: Tensor, saved: Saved) {
    let (channels, positions) = (x.shape.channels, x.shape.positions)
    precondition(channels % groups == 0, "\(groups) groups of \(channels) channels")
    let width = channels / groups
    guard positions > 1 else {
      let (y, rows) = Kernel.rowNormalize(
        .layer, x, width: width, gain: gain, bias: bias, rule: RowRule(epsilon: Float(epsilon)))
      return (y, .rows(x, width: width, rows))
    }
    let y = Tensor.uninitialized(x.shape)
    let gains = gain.elements
    let (samples, n) = (x.shape[0], Double(positions))
    let each: Shape = [positions, channels]
    let sums = Storage<Double>(count: 2 * channels)
    let centers = ColumnCenter(count: samples * channels)
    let scale = Tensor.uninitialized([channels])
    var means = [Double](repeating: 0, count: channels)
    var scales = gains
    var inverses: [Double] = []
    inverses.reserveCapacity(samples * groups)
    for sample in 0..<samples {
      let input = x.part(sample, shape: each)
      // The first position is near enough to the mean to keep the sums' digits.
      let shift = Tensor(input.storage, offset: input.offset, shape: gain.shape)
      sums.fill(0..<2 * channels, with: 0)
      Kernel.addColumnMoments(input, shift: shift, to: sums)
      let (moments, shifts) = (sums.copy(0..<2 * channels), shift.elements)
      for first in stride(from: 0, to: channels, by: width) {
        // The channels' means and squared deviations merged (Chan, Golub & LeVeque, 1979).
        var (mean, deviations) = (0.0, 0.0)
        for c in first..<first + width {
          means[c] = Double(shifts[c]) + moments[c] / n
          mean += means[c]
        }
        mean /= Double(width)
        for c in first..<first + width {
          let distance = means[c] - mean
          deviations += moments[channels + c] - moments[c] * moments[c] / n
          deviations += n * distance * distance
          means[c] = mean
        }
        let inverse = 1 / (max(0, deviations) / (n * Double(width)) + epsilon).squareRoot()
        inverses.append(inverse)
        for c in first..<first + width { scales[c] = Float(Double(gains[c]) * inverse) }
      }
      let center = centers.channels(sample * channels, shape: gain.shape)
      center.write(means)
      scale.write(scales)
      Kernel.columnNormalize(
        input, center, scale: scale, bias: bias, into: y.part(sample, shape: each))
    }
    return (y, .samples(x, centers, inverses: inverses))
  }

  /// The gradients of x, gain and bias.
  ///
  ///     t = x − μ,  h = γ · dy,  r = 1 / √(v + ε)
  ///     dx = r · (h − mean h) − t · r³ · mean (h·t)     means over the group
  ///     dγ = Σ dy · t · r,  dβ = Σ dy                   over samples and positions
  public static func backward(
    _ dy: Tensor, gain: Tensor, saved: Saved, overwriting: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    switch saved {
    case .rows(let x, let width, let rows):
      let (dx, dbias, dgain) = Kernel.rowGradient(
        .layer, x, dy, width: width, gain: gain, saved: rows, overwriting: overwriting)
      return (dx, dgain, dbias)
    case .samples(let x, let centers, let inverses):
      return backward(dy, x, gain: gain, centers, inverses, overwriting)
    }
  }

  private static func backward(
    _ dy: Tensor, _ x: Tensor, gain: Tensor, _ centers: ColumnCenter, _ inverses: [Double],
    _ overwriting: Bool
  ) -> (dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>) {
    let (samples, channels) = (x.shape[0], x.shape.channels)
    let dx = overwriting ? dy : .uninitialized(x.shape)
    let gains = gain.elements
    let sums = Storage<Double>(count: 2 * channels)
    var dgain = [Double](repeating: 0, count: channels)
    var dbias = dgain
    let each: Shape = [x.shape.positions, channels]
    let coefficients = (0..<4).map { _ in Tensor.uninitialized([channels]) }
    let (scale, shift, slope) = (coefficients[0], coefficients[1], coefficients[2])
    let inverse = coefficients[3]
    var (scales, shifts, slopes, inversesOfChannels) = (gains, gains, gains, gains)
    let groups = samples == 0 ? 1 : inverses.count / samples
    let width = channels / groups
    let count = Double(width * x.shape.positions)
    for sample in 0..<samples {
      let (input, seed) = (x.part(sample, shape: each), dy.part(sample, shape: each))
      let center = centers.channels(sample * channels, shape: gain.shape)
      sums.fill(0..<2 * channels, with: 0)
      Kernel.addColumnGradientSums(input, seed, center, to: sums)
      let totals = sums.copy(0..<2 * channels)
      for group in 0..<groups {
        let r = inverses[sample * groups + group]
        var (total, product) = (0.0, 0.0)
        for c in group * width..<(group + 1) * width {
          total += Double(gains[c]) * totals[c]
          product += Double(gains[c]) * totals[channels + c]
          dbias[c] += totals[c]
          dgain[c] += totals[channels + c] * r
        }
        let (mean, projection) = (Float(r * total / count), Float(r * r * product / count))
        for c in group * width..<(group + 1) * width {
          scales[c] = Float(Double(gains[c]) * r)
          shifts[c] = mean
          slopes[c] = projection
          inversesOfChannels[c] = Float(r)
        }
      }
      scale.write(scales)
      shift.write(shifts)
      slope.write(slopes)
      inverse.write(inversesOfChannels)
      Kernel.columnGradient(
        input, seed, center, inverse: inverse, scale: scale, shift: shift, slope: slope,
        into: dx.part(sample, shape: each))
    }
    return (dx, dgain[...], dbias[...])
  }

  /// The norm as a layer of a model.
  struct Module: Norm {
    static let kind = NormKind.group
    static let statistics = NormStatistics.sample
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine, NormSetting<Int>.groups,
    ]

    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      let groups = settings.groups
      if site.channels % groups != 0 {
        return NormProblem(
          "groups \(groups) does not divide the \(site.channels) channels of \(site.name)",
          setting: "groups")
      }
      guard site.channels == groups, site.positions == 1 else { return nil }
      return NormProblem(
        "group norm at \(site.name) has \(groups) groups of one value, which has no variance; "
          + "use fewer groups", setting: "groups")
    }

    private let name: LayerName
    private let affine: Affine
    private let groups: Int
    private let epsilon: Double
    var parameters: [Parameter] { affine.parameters }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      self.init(site, groups: settings.groups, settings)
    }

    init(_ site: NormSite, groups: Int, _ settings: NormSettings) {
      name = site.layerName
      affine = Affine(site, affine: settings.affine)
      self.groups = groups
      epsilon = settings.epsilon
    }

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      let (y, saved) = GroupNorm.forward(
        x.value, groups: groups, gain: affine.gainValue, bias: affine.biasValue, epsilon: epsilon)
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [affine, gradient = x.gradient] dy, backward in
          let (dx, dgain, dbias) = GroupNorm.backward(
            dy, gain: affine.gainValue, saved: saved, overwriting: backward.mayOverwrite)
          gradient?.add(dx)
          affine.gain?.contribute(dgain)
          affine.bias?.contribute(dbias)
        })
    }
  }
}

extension NormKind {
  /// Group norm.
  public static let group: NormKind = "group"
}

extension NormSetting where Value == Int {
  /// The number of channel groups of a group norm.
  public static let groups = NormSetting("groups", default: 8, in: 1...(1 << 24))
}

extension NormSettings {
  /// The number of channel groups of a group norm.
  public var groups: Int {
    get { self[.groups] }
    set { self[.groups] = newValue }
  }
}
