import LockstepKernels
public import LockstepTensors

/// Adaptive instance normalization: each channel of a content takes the style's mean and deviation.
///
///     μ = mean x,  v = mean (x − μ)²,  M = mean s,  V = mean (s − M)²
///     y = √(V + ε) · (x − μ) / √(v + ε) + M
///
/// with the means over the positions of one channel of one sample. Nothing is learned.
///
/// - Shapes: content x and y `[N, positions…, C]`, style s `[N, positions…, C]` with positions of its
///   own.
/// - Communication: none.
/// - Source: Huang & Belongie, 2017, eq. 8, <https://arxiv.org/abs/1703.06868>.
public enum AdaptiveInstanceNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let content: Side
    let style: Side
  }

  /// The content or the style with the moments of each of its samples' channels, `[N · C]`.
  struct Side: Sendable {
    let values: Tensor
    let centers: ColumnCenter
    /// √(v + ε).
    let deviations: [Double]

    init(_ values: Tensor, epsilon: Double) {
      self.values = values
      let (samples, channels) = (values.shape[0], values.shape.channels)
      let n = Double(max(values.shape.positions, 1))
      var (means, deviations): ([Double], [Double]) = ([], [])
      let sums = Storage<Double>(count: 2 * channels)
      for sample in 0..<samples where values.count > 0 {
        let input = values.part(sample, shape: [values.shape.positions, channels])
        // The first position is near enough to the mean to keep the sums' digits.
        let shift = Tensor(input.storage, offset: input.offset, shape: [channels])
        sums.fill(0..<2 * channels, with: 0)
        Kernel.addColumnMoments(input, shift: shift, to: sums)
        for (c, first) in shift.elements.enumerated() {
          let offset = sums[c] / n
          means.append(Double(first) + offset)
          let variance = max(0, sums[channels + c] / n - offset * offset)
          deviations.append((variance + epsilon).squareRoot())
        }
      }
      centers = ColumnCenter(means)
      self.deviations = deviations
    }

    /// How many positions a sample has.
    var positions: Int { values.shape.positions }

    /// The elements of one sample.
    func part(_ sample: Int, of tensor: Tensor) -> Tensor {
      tensor.part(sample, shape: [positions, values.shape.channels])
    }

    /// The means of one sample's channels.
    func center(_ sample: Int) -> ColumnCenter {
      let channels = values.shape.channels
      return centers.channels(sample * channels, shape: [channels])
    }
  }

  /// y of the content x.
  public static func forward(_ x: Tensor, style: Tensor, epsilon: Double) -> (
    y: Tensor, saved: Saved
  ) {
    let (samples, channels) = (x.shape[0], x.shape.channels)
    precondition(style.shape[0] == samples && style.shape.channels == channels)
    precondition(x.count == 0 || style.count > 0, "a style without positions")
    let saved = Saved(
      content: Side(x, epsilon: epsilon), style: Side(style, epsilon: epsilon))
    let y = Tensor.uninitialized(x.shape)
    for sample in 0..<samples where x.count > 0 {
      let these = sample * channels..<(sample + 1) * channels
      let scale = these.map { Float(saved.style.deviations[$0] / saved.content.deviations[$0]) }
      Kernel.columnNormalize(
        saved.content.part(sample, of: x), saved.content.center(sample),
        scale: Tensor(scale, shape: [channels]), bias: saved.style.center(sample).center,
        into: saved.content.part(sample, of: y))
    }
    return (y, saved)
  }

  /// The gradients of content and style.
  ///
  ///     t = x − μ,  r = 1 / √(v + ε),  R = √(V + ε),  n and m positions
  ///     dM = Σ dy,  dR = Σ dy · t · r
  ///     dx = R · r · (dy − dM / n − t · r · dR / n)
  ///     ds = dM / m + (s − M) · dR / (m · R)
  public static func backward(_ dy: Tensor, saved: Saved, overwriting: Bool = false) -> (
    dx: Tensor, dstyle: Tensor
  ) {
    let (content, style) = (saved.content, saved.style)
    let (samples, channels) = (dy.shape[0], dy.shape.channels)
    let dx = overwriting ? dy : .uninitialized(dy.shape)
    let dstyle = Tensor.zeros(style.values.shape)
    let sums = Storage<Double>(count: 2 * channels)
    let (n, m) = (Double(content.positions), Double(style.positions))
    for sample in 0..<samples where dy.count > 0 {
      let (x, seed) = (content.part(sample, of: content.values), content.part(sample, of: dy))
      sums.fill(0..<2 * channels, with: 0)
      Kernel.addColumnGradientSums(x, OutputGradient(seed), content.center(sample), to: sums)
      func channel(_ value: (_ c: Int, _ r: Double, _ deviation: Double) -> Double) -> Tensor {
        let values = (0..<channels).map { c in
          let i = sample * channels + c
          return Float(value(c, 1 / content.deviations[i], style.deviations[i]))
        }
        return Tensor(values, shape: [channels])
      }
      Kernel.columnGradient(
        x, seed, content.center(sample), inverse: channel { _, r, _ in r },
        scale: channel { _, r, deviation in deviation * r },
        shift: channel { c, r, deviation in deviation * r * sums[c] / n },
        slope: channel { c, r, deviation in
          deviation * r * r * sums[channels + c] / n
        },
        into: content.part(sample, of: dx))
      Kernel.columnNormalize(
        style.part(sample, of: style.values), style.center(sample),
        scale: channel { c, r, deviation in sums[channels + c] * r / (m * deviation) },
        bias: channel { c, _, _ in sums[c] / m },
        into: style.part(sample, of: dstyle))
    }
    return (dx, dstyle)
  }
}
