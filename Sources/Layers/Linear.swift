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
  private let prepared = PreparedMaps()

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
    let x = tape.stored(x)
    let (input, shape) = (x.value, x.value.shape)
    let weight = try weight.use(on: tape)
    let map = prepared[
      LinearGeometry(
        rows: shape.rows, inputs: shape.channels, outputs: weight.value.shape[0],
        hasBias: bias != nil, precision: input.precision)]
    let y = map.forward(input, weights: weight.value, bias: bias?.value)
    return tape.record(
      y, by: name, uses: weight.parameters + (bias.map { [$0] } ?? []),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(
          map.inputGradient(dy, weights: weight.value, shape: shape))
      },
      weightPullback: { [bias, again = x.again] dy in
        let input = again()
        func contribute(_ biasGradient: Tensor?, _ biasAccumulates: Bool) {
          weight.contribute { gradient, accumulating in
            map.weightGradient(
              input, dy, into: gradient, accumulating: accumulating, bias: biasGradient,
              accumulatingBias: biasAccumulates)
          }
        }
        if let bias {
          bias.contribute(contribute)
        } else {
          contribute(nil, false)
        }
      }, mayDefer: weight.isParameter)
  }
}

/// The maps that a linear layer has prepared, by geometry.
private final class PreparedMaps {
  private var maps: [LinearGeometry: LinearMap] = [:]

  subscript(geometry: LinearGeometry) -> LinearMap {
    if let map = maps[geometry] { return map }
    let map = LinearMap(geometry)
    maps[geometry] = map
    return map
  }
}
