public import Autograd
import Kernels
public import Tensors

/// A convolution without bias over channels-last images.
///
/// - Shapes: x `[N, H, W, inputs]`, weight `[outputs, inputs, kernel, kernel]` as PyTorch lays it
///   out, y `[N, H′, W′, outputs]` with H′ = (H + 2·padding − kernel) / stride + 1.
public final class Convolution2D: Layer {
  private let weight: Parameter
  private let stride: Int
  private let padding: Int
  private var prepared: [Shape: Convolution] = [:]

  /// The weight.
  public var parameters: [Parameter] { [weight] }

  /// Normal with variance 2 / (outputs · kernel²), as torchvision initializes ResNets
  /// (He et al., 2015, fan-out).
  public init(
    _ name: String, inputs: Int, outputs: Int, kernel: Int, stride: Int, padding: Int,
    using random: inout RandomStream
  ) {
    weight = Parameter(
      "\(name).weight",
      .normal(
        [outputs, inputs, kernel, kernel],
        standardDeviation: (2 / Float(outputs * kernel * kernel)).squareRoot(), using: &random))
    self.stride = stride
    self.padding = padding
  }

  private func convolution(for shape: Shape) -> Convolution {
    if let convolution = prepared[shape] { return convolution }
    let convolution = Convolution(
      ConvolutionGeometry(
        input: shape, weights: weight.value.shape, stride: stride, padding: padding))
    prepared[shape] = convolution
    return convolution
  }

  /// Convolves every image.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let input = x.value
    let convolution = convolution(for: input.shape)
    let y = convolution.forward(input, weights: weight.value, version: weight.version)
    return tape.record(
      y, uses: [weight],
      inputPullback: { [weight, gradient = x.gradient] dy, _ in
        gradient?.add(
          convolution.inputGradient(dy, weights: weight.value, version: weight.version))
      },
      weightPullback: { [weight] dy in
        weight.contribute { gradient, accumulating in
          convolution.weightGradient(input, dy, into: gradient, accumulating: accumulating)
        }
      })
  }
}
