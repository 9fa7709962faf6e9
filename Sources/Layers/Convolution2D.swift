public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// A convolution without bias over channels-last images.
///
/// - Shapes: x `[N, H, W, inputs]`, weight `[outputs, inputs, kernel, kernel]` as PyTorch lays it
///   out, y `[N, H′, W′, outputs]` with H′ = (H + 2·padding − kernel) / stride + 1.
public final class Convolution2D: Layer {
  private let name: LayerName
  private let weight: Weight
  private let stride: Int
  private let padding: Int
  private var prepared: [ConvolutionGeometry: Convolution] = [:]

  /// The weight's.
  public var parameters: [Parameter] { weight.parameters }

  /// A convolution by `weight`.
  public init(_ name: String, _ weight: Weight, stride: Int, padding: Int) {
    self.name = LayerName(name)
    self.weight = weight
    self.stride = stride
    self.padding = padding
  }

  /// A convolution with a weight of its own.
  public convenience init(
    _ name: String, inputs: Int, outputs: Int, kernel: Int, stride: Int, padding: Int,
    using random: inout RandomStream
  ) {
    let weight = Self.initialWeight(
      inputs: inputs, outputs: outputs, kernel: kernel, using: &random)
    self.init(
      name, Weight(Parameter("\(name).weight", weight)), stride: stride, padding: padding)
  }

  /// Initial weights: normal with variance 2 / (outputs · kernel²), as torchvision initializes ResNets
  /// (He et al., 2015, fan-out).
  public static func initialWeight(
    inputs: Int, outputs: Int, kernel: Int, using random: inout RandomStream
  ) -> Tensor {
    .normal(
      [outputs, inputs, kernel, kernel],
      standardDeviation: (2 / Float(outputs * kernel * kernel)).squareRoot(), using: &random)
  }

  private func convolution(of x: Tensor) -> Convolution {
    let geometry = ConvolutionGeometry(
      input: x.shape, weights: weight.shape, stride: stride, padding: padding,
      precision: x.precision)
    if let convolution = prepared[geometry] { return convolution }
    let convolution = Convolution(geometry)
    prepared[geometry] = convolution
    return convolution
  }

  /// Convolves every image.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let x = tape.stored(x)
    let input = x.value
    let convolution = convolution(of: input)
    let weight = try weight.use(on: tape)
    let y = convolution.forward(input, weights: weight.value)
    return tape.record(
      y, by: name, uses: weight.parameters,
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(
          convolution.inputGradient(dy, weights: weight.value))
      },
      weightPullback: { [weight, again = x.again] dy in
        let input = again()
        weight.contribute { gradient, accumulating in
          convolution.weightGradient(input, dy, into: gradient, accumulating: accumulating)
        }
      }, mayDefer: weight.isParameter)
  }
}
