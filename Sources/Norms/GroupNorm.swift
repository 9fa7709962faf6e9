import Autograd
import KernelLoops
public import Kernels
public import Tensors

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
    /// The centers of each sample's channels, and 1 / √(v + ε) of each sample's groups.
    case samples(Tensor, [ColumnCenter], inverses: [[Double]])
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
    let sums = Storage<Double>(count: 2 * channels)
    var centers: [ColumnCenter] = []
    var inverses: [[Double]] = []
    var means = [Double](repeating: 0, count: channels)
    var scale = gains
    for n in 0..<x.shape[0] {
      let sample = x.samples(n..<n + 1)
      // The first position is near enough to the mean to keep the sums' digits.
      let shift = Tensor(sample.storage, offset: sample.offset, shape: [channels])
      sums.fill(0..<2 * channels, with: 0)
      Kernel.addColumnMoments(sample, shift: shift, to: sums)
      let inverse = normalizers(
        sums.copy(0..<2 * channels), shift: shift.elements, positions, width: width,
        epsilon: epsilon, means: &means)
      for c in 0..<channels { scale[c] = Float(Double(gains[c]) * inverse[c / width]) }
      let center = ColumnCenter(means)
      Kernel.columnNormalize(
        sample, center, scale: Tensor(scale, shape: [channels]), bias: bias,
        into: y.samples(n..<n + 1))
      centers.append(center)
      inverses.append(inverse)
    }
    return (y, .samples(x, centers, inverses: inverses))
  }

  /// Each group's 1 / √(v + ε), and its mean for each of its channels, from the channels' shifted
  /// sums: their means and squared deviations merged (Chan, Golub & LeVeque, 1979) in float64.
  private static func normalizers(
    _ sums: [Double], shift: [Float], _ positions: Int, width: Int, epsilon: Double,
    means: inout [Double]
  ) -> [Double] {
    let (channels, n) = (shift.count, Double(positions))
    var inverses: [Double] = []
    inverses.reserveCapacity(channels / width)
    for first in stride(from: 0, to: channels, by: width) {
      var (mean, deviations) = (0.0, 0.0)
      for c in first..<first + width {
        means[c] = Double(shift[c]) + sums[c] / n
        mean += means[c]
      }
      mean /= Double(width)
      for c in first..<first + width {
        deviations += sums[channels + c] - sums[c] * sums[c] / n
        deviations += n * (means[c] - mean) * (means[c] - mean)
        means[c] = mean
      }
      let variance = max(0, deviations) / (n * Double(width))
      inverses.append(1 / (variance + epsilon).squareRoot())
    }
    return inverses
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
    _ dy: Tensor, _ x: Tensor, gain: Tensor, _ centers: [ColumnCenter], _ inverses: [[Double]],
    _ overwriting: Bool
  ) -> (dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>) {
    let channels = x.shape.channels
    let dx = overwriting ? dy : .uninitialized(x.shape)
    let gains = gain.elements
    let sums = Storage<Double>(count: 2 * channels)
    var dgain = [Double](repeating: 0, count: channels)
    var dbias = dgain
    var (scale, shift, slope) = (gains, gains, gains)
    for n in 0..<x.shape[0] {
      let range = n..<n + 1
      let inverse = inverses[n]
      let width = channels / inverse.count
      let count = Double(width * x.shape.positions)
      sums.fill(0..<2 * channels, with: 0)
      Kernel.addColumnGradientSums(x.samples(range), dy.samples(range), centers[n], to: sums)
      let totals = sums.copy(0..<2 * channels)
      for (g, r) in inverse.enumerated() {
        let group = g * width..<(g + 1) * width
        var (total, product) = (0.0, 0.0)
        for c in group {
          total += Double(gains[c]) * totals[c]
          product += Double(gains[c]) * totals[channels + c]
          dbias[c] += totals[c]
          dgain[c] += totals[channels + c] * r
        }
        for c in group {
          scale[c] = Float(Double(gains[c]) * r)
          shift[c] = Float(r * total / count)
          slope[c] = Float(r * r * r * product / count)
        }
      }
      Kernel.columnGradient(
        x.samples(range), dy.samples(range), centers[n], scale: Tensor(scale, shape: [channels]),
        shift: Tensor(shift, shape: [channels]), slope: Tensor(slope, shape: [channels]),
        into: dx.samples(range))
    }
    return (dx, dgain[...], dbias[...])
  }

  /// The norm as a layer of a model.
  struct Module: Layer {
    private let affine: Affine
    private let groups: Int
    private let epsilon: Double
    var parameters: [Parameter] { affine.parameters }

    init(_ name: String, channels: Int, groups: Int, _ settings: NormSettings) {
      affine = Affine(name, channels: channels, affine: settings.affine)
      self.groups = groups
      epsilon = settings.epsilon
    }

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      let (y, saved) = GroupNorm.forward(
        x.value, groups: groups, gain: affine.gainValue, bias: affine.biasValue, epsilon: epsilon)
      return tape.record(
        y, uses: parameters,
        inputPullback: { [affine, gradient = x.gradient] dy, overwriting in
          let (dx, dgain, dbias) = GroupNorm.backward(
            dy, gain: affine.gainValue, saved: saved, overwriting: overwriting)
          gradient?.add(dx)
          affine.gain?.contribute(dgain)
          affine.bias?.contribute(dbias)
        })
    }
  }
}
