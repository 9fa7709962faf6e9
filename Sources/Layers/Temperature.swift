public import LockstepAutograd
import LockstepKernels
import LockstepTensors

/// Division by one learned number, from 1: the temperature of scores that are cosines.
///
///     y = x / τ,  dx = dy / τ,  dτ = −Σ dy·x / τ²
///
/// Source: Henry et al., 2020, <https://arxiv.org/abs/2010.04245>, whose g is 1 / τ.
public struct Temperature: Layer {
  private let name: LayerName
  private let temperature: Parameter

  /// The temperature, `[1]`.
  public var parameters: [Parameter] { [temperature] }

  /// A temperature of 1.
  public init(_ name: String) {
    self.name = LayerName(name)
    temperature = Parameter(name, .filled([1], with: 1))
  }

  /// Divides every element.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let input = x.value
    let inverse = 1 / temperature.value.storage[temperature.value.offset]
    let y = input.copy()
    Kernel.scale(y, by: inverse)
    return tape.record(
      y, by: name, uses: parameters,
      inputPullback: { [gradient = x.gradient] dy, _ in
        let dx = dy.copy()
        Kernel.scale(dx, by: inverse)
        gradient?.add(dx)
      },
      weightPullback: { [temperature] dy in
        let sum = Kernel.columnSums(Kernel.product(dy, input)).reduce(0, +)
        temperature.contribute([-sum * Double(inverse * inverse)][...])
      })
  }
}
