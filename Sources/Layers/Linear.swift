public import Autograd
import Kernels
public import Tensors

/// An affine map of each row.
///
///     y = x · Wᵀ + b
///
/// - Shapes: x `[rows, inputs]`, W `[outputs, inputs]` as PyTorch lays it out, y `[rows, outputs]`.
public struct Linear: Layer {
  private let weight: Parameter
  private let bias: Parameter?

  /// The parameters: weight, then bias if there is one.
  public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

  /// Uniform in ±1/√inputs, as PyTorch initializes it.
  public init(_ name: String, inputs: Int, outputs: Int, using random: inout RandomStream) {
    let bound = 1 / Float(inputs).squareRoot()
    weight = Parameter("\(name).weight", .uniform([outputs, inputs], bound, using: &random))
    bias = Parameter("\(name).bias", .uniform([outputs], bound, using: &random))
  }

  /// Normal with a given deviation and a bias of 0, as GPT-2 initializes it.
  public init(
    _ name: String, inputs: Int, outputs: Int, hasBias: Bool = true, standardDeviation: Float,
    using random: inout RandomStream
  ) {
    weight = Parameter(
      "\(name).weight",
      .normal([outputs, inputs], standardDeviation: standardDeviation, using: &random))
    bias = hasBias ? Parameter("\(name).bias", .zeros([outputs])) : nil
  }

  /// A map without bias by a weight that another layer owns too.
  public init(sharing weight: Parameter) {
    self.weight = weight
    bias = nil
  }

  /// Applies the map to every row.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let (input, shape) = (x.value, x.value.shape)
    let y = Tensor.uninitialized(
      Shape(input.shape.dimensions.dropLast() + [weight.value.shape[0]]))
    Kernel.matrixProduct(Operand(input), .transpose(weight.value), into: y)
    if let bias { Kernel.addRow(bias.value, to: y) }
    return tape.record(
      y, uses: parameters,
      inputPullback: { [weight, gradient = x.gradient] dy, _ in
        guard let gradient else { return }
        let dx = Tensor.uninitialized(shape)
        Kernel.matrixProduct(Operand(dy), Operand(weight.value), into: dx)
        gradient.add(dx)
      },
      weightPullback: { [weight, bias, again = x.again] dy in
        let input = again()
        weight.contribute { gradient, accumulating in
          Kernel.matrixProduct(
            .transpose(dy), Operand(input), into: gradient, accumulating: accumulating)
        }
        bias?.contribute(Kernel.columnSums(dy)[...])
      })
  }
}
