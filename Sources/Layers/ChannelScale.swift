public import LockstepAutograd
import LockstepKernels
import LockstepTensors

/// A learned factor for each channel.
///
///     y = x · s · (from / stored),  s from `stored`
///
/// What is trained is s: a smaller one makes an optimizer whose steps have one size turn the factor
/// faster. A step size is a magnitude: there |s| stands in the place of s.
///
/// - Shapes: x and y `[…, C]`, s `[C]`.
/// - Source: Loshchilov et al., 2024, section 2.5, <https://arxiv.org/abs/2410.01131>.
public struct ChannelScale: Layer {
  private let name: LayerName
  private let scale: Parameter
  private let factor: Float
  private let isMagnitude: Bool
  private let center: ColumnCenter
  private let zeros: Tensor

  /// The trained s.
  public var parameters: [Parameter] { [scale] }

  /// Factors that begin as `from`, with s as `stored`.
  public init(
    _ name: String, channels: Int, from: Float, stored: Float, isMagnitude: Bool = false
  ) {
    self.name = LayerName(name)
    scale = Parameter(name, .filled([channels], with: stored))
    factor = from / stored
    self.isMagnitude = isMagnitude
    center = ColumnCenter([Double](repeating: 0, count: channels))
    zeros = .zeros([channels])
  }

  /// Multiplies every channel.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let input = x.value
    let signs = scale.value.elements.map { isMagnitude && $0 < 0 ? -factor : factor }
    let factors = Tensor(
      zip(scale.value.elements, signs).map { $0 * $1 }, shape: scale.value.shape)
    func scaled(_ x: Tensor, into y: Tensor) {
      Kernel.columnNormalize(x, center, scale: factors, bias: zeros, into: y)
    }
    let y = Tensor.uninitialized(input.shape, input.precision)
    scaled(input, into: y)
    return tape.record(
      y, by: name, uses: parameters,
      inputPullback: { [scale, center, gradient = x.gradient] dy, _ in
        let channels = dy.shape.channels
        let sums = Storage<Double>(count: 2 * channels, filledWith: 0)
        Kernel.addColumnGradientSums(input, OutputGradient(dy), center, to: sums)
        scale.contribute(
          zip(sums.copy(channels..<2 * channels), signs).map { $0 * Double($1) }[...])
        let dx = Tensor.uninitialized(dy.shape, dy.precision)
        scaled(dy, into: dx)
        gradient?.add(dx)
      })
  }
}
