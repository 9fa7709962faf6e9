public import LockstepTensors

/// The numbers that shape a convolution: channels-last input, weights as PyTorch lays them out.
public struct ConvolutionGeometry: Hashable, Sendable {
  /// `[N, H, W, C]`.
  public let input: Shape
  /// `[outputs, C, kernel height, kernel width]`.
  public let weights: Shape
  /// The step between output positions, in both directions.
  public let stride: Int
  /// Zeros around the input, on each side.
  public let padding: Int
  /// In what numbers input and output are stored; weights and their gradients are float32.
  public let precision: Precision

  /// Creates a geometry.
  public init(
    input: Shape, weights: Shape, stride: Int, padding: Int, precision: Precision = .float32
  ) {
    precondition(input.rank == 4 && weights.rank == 4 && input[3] == weights[1])
    self.input = input
    self.weights = weights
    self.stride = stride
    self.padding = padding
    self.precision = precision
  }

  /// `[N, H′, W′, outputs]`.
  public var output: Shape {
    [
      input[0], (input[1] + 2 * padding - weights[2]) / stride + 1,
      (input[2] + 2 * padding - weights[3]) / stride + 1, weights[0],
    ]
  }
}

/// A convolution prepared for one geometry.
///
/// The weights come as the layer holds them, in float32, and are brought for each use into the precision and
/// layout that its primitives ask for. Sums are float32. One thread at a time may use it.
public final class Convolution {
  /// The geometry that it was prepared for.
  public let geometry: ConvolutionGeometry
  private let implementation: any ConvolutionImplementation

  /// Prepares a convolution by oneDNN, or by the reference where there is none.
  public convenience init(_ geometry: ConvolutionGeometry) {
    self.init(geometry, reference: !OneDNN.isUsed)
  }

  /// Prepares a convolution, by the reference if asked.
  public init(_ geometry: ConvolutionGeometry, reference: Bool) {
    self.geometry = geometry
    #if ONEDNN
      if !reference && (geometry.precision == .float32 || OneDNN.canUseBFloat16) {
        implementation = OneDNNConvolution(geometry)
        return
      }
    #endif
    guard geometry.precision == .bfloat16 else {
      implementation = ReferenceConvolution(geometry)
      return
    }
    let wide = ConvolutionGeometry(
      input: geometry.input, weights: geometry.weights, stride: geometry.stride,
      padding: geometry.padding)
    implementation = RoundingConvolution(Convolution(wide, reference: reference).implementation)
  }

  /// y `[N, H′, W′, outputs]` of x `[N, H, W, C]`.
  public func forward(_ x: Tensor, weights: Tensor) -> Tensor {
    precondition(x.shape == geometry.input && weights.shape == geometry.weights)
    precondition(x.precision == geometry.precision)
    return geometry.output.count > 0 && x.count > 0
      ? implementation.forward(x, weights: weights) : .zeros(geometry.output, geometry.precision)
  }

  /// dx of dy.
  public func inputGradient(_ dy: Tensor, weights: Tensor) -> Tensor {
    precondition(dy.shape == geometry.output && weights.shape == geometry.weights)
    return geometry.input.count > 0 && dy.count > 0
      ? implementation.inputGradient(dy, weights: weights)
      : .zeros(geometry.input, geometry.precision)
  }

  /// Adds the gradient of the weights to `gradient`, or writes it where not `accumulating`.
  public func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor, accumulating: Bool) {
    precondition(x.shape == geometry.input && dy.shape == geometry.output)
    precondition(gradient.shape == geometry.weights)
    guard x.count > 0 && dy.count > 0 else {
      if !accumulating { gradient.fill(with: 0) }
      return
    }
    guard accumulating else { return implementation.weightGradient(x, dy, into: gradient) }
    let sum = Tensor.uninitialized(geometry.weights)
    implementation.weightGradient(x, dy, into: sum)
    Kernel.add(gradient, sum, into: gradient)
  }
}

/// What a library, or the reference, has to offer; no tensor is empty.
protocol ConvolutionImplementation {
  func forward(_ x: Tensor, weights: Tensor) -> Tensor
  func inputGradient(_ dy: Tensor, weights: Tensor) -> Tensor
  func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor)
}

/// A convolution of bfloat16 images by one of float32, on rounded numbers: the reference, and what stands in
/// where there is no faster way.
struct RoundingConvolution: ConvolutionImplementation {
  private let wide: any ConvolutionImplementation

  init(_ wide: any ConvolutionImplementation) { self.wide = wide }

  func forward(_ x: Tensor, weights: Tensor) -> Tensor {
    let y = wide.forward(
      Kernel.converted(x, to: .float32), weights: weights.rounded(to: .bfloat16))
    return Kernel.converted(y, to: .bfloat16)
  }

  func inputGradient(_ dy: Tensor, weights: Tensor) -> Tensor {
    let dx = wide.inputGradient(
      Kernel.converted(dy, to: .float32), weights: weights.rounded(to: .bfloat16))
    return Kernel.converted(dx, to: .bfloat16)
  }

  func weightGradient(_ x: Tensor, _ dy: Tensor, into gradient: Tensor) {
    wide.weightGradient(
      Kernel.converted(x, to: .float32), Kernel.converted(dy, to: .float32), into: gradient)
  }
}
