public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// An affine map of each row.
///
///     y = x · Wᵀ + b
///
/// - Shapes: x `[rows, inputs]`, W `[outputs, inputs]` as PyTorch lays it out, y `[rows, outputs]`.
public struct Linear: Layer {
  private let name: LayerName
  private let weight: Weight
  private let bias: Parameter?

  /// The parameters: the weight's, then the bias if there is one.
  public var parameters: [Parameter] { weight.parameters + (bias.map { [$0] } ?? []) }

  /// A map by `weight`, which other layers may own too, and by `bias` `[outputs]`.
  public init(_ name: String, _ weight: Weight, bias: Parameter? = nil) {
    precondition(bias.map { $0.value.count == weight.shape[0] } ?? true)
    self.name = LayerName(name)
    self.weight = weight
    self.bias = bias
  }

  /// Uniform in ±1/√inputs, as PyTorch initializes it.
  public init(_ name: String, inputs: Int, outputs: Int, using random: inout RandomStream) {
    let bound = 1 / Float(inputs).squareRoot()
    let weight = Parameter("\(name).weight", .uniform([outputs, inputs], bound, using: &random))
    self.init(
      name, Weight(weight),
      bias: Parameter("\(name).bias", .uniform([outputs], bound, using: &random)))
  }

  /// Applies the map to every row.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let (input, shape) = (x.value, x.value.shape)
    let weight = try weight.use(on: tape)
    let y = Tensor.uninitialized(
      Shape(input.shape.dimensions.dropLast() + [weight.value.shape[0]]))
    Kernel.matrixProduct(Operand(input), .transpose(weight.value), into: y)
    if let bias { Kernel.addRow(bias.value, to: y) }
    return tape.record(
      y, by: name, uses: weight.parameters + (bias.map { [$0] } ?? []),
      inputPullback: { [gradient = x.gradient] dy, _ in
        guard let gradient else { return }
        let dx = Tensor.uninitialized(shape)
        Kernel.matrixProduct(Operand(dy), Operand(weight.value), into: dx)
        gradient.add(dx)
      },
      weightPullback: { [bias, again = x.again] dy in
        let input = again()
        weight.contribute { gradient, accumulating in
          Kernel.matrixProduct(
            .transpose(dy), Operand(input), into: gradient, accumulating: accumulating)
        }
        bias?.contribute(Kernel.columnSums(dy)[...])
      }, mayDefer: weight.isParameter)
  }
}
