import LockstepAutograd
import LockstepTensors
import Testing

/// Normally distributed elements.
func random(_ shape: Shape, seed: UInt64 = 1) -> Tensor {
  var stream = RandomStream(seed: seed, site: .synthetic)
  return Tensor((0..<shape.count).map { _ in stream.normal() }, shape: shape)
}

/// A stream to initialize layers from.
func stream() -> RandomStream { RandomStream(seed: 9, site: .initialization) }

/// Keeps what flows back to a variable that it puts on a tape.
final class Probe {
  /// What flowed back, or nil.
  private(set) var gradient: Tensor?

  /// A variable of `x` on `tape`, whose gradient is kept.
  func input(_ x: Tensor, on tape: Tape) -> Variable {
    tape.record(x, inputPullback: { [self] dy, _ in gradient = dy.copy() })
  }
}

/// A function of a variable on a tape.
typealias Function = (Variable, Tape) throws -> Variable

/// Σ w·y in float64.
private func product(_ y: Tensor, _ w: Tensor) -> Double {
  zip(y.elements, w.elements).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

/// Expects what the tape says of the gradients of Σ w·f(x) to be what central differences say, for
/// x and for all `parameters`.
func expectGradients(
  of function: Function, at x: Tensor, parameters: [Parameter] = [], step: Float = 1e-2,
  tolerance: Double = 2e-3, sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let tape = Tape(.training)
  let probe = Probe()
  let y = try function(probe.input(x, on: tape), tape)
  let w = random(y.value.shape, seed: 77)
  for parameter in parameters { parameter.clearGradient() }
  try tape.backward(from: y.gradient, seed: w.copy())
  func loss() throws -> Double {
    let tape = Tape(.evaluation)
    return product(try function(tape.input(x), tape).value, w)
  }
  func check(_ value: Tensor, _ gradient: Tensor, _ name: String) throws {
    let (before, analytic) = (value.elements, gradient.elements)
    for i in before.indices {
      var moved = before
      func lossAfterMoving(by shift: Float) throws -> Double {
        moved[i] = before[i] + shift
        value.write(moved)
        return try loss()
      }
      let difference = try lossAfterMoving(by: step) - lossAfterMoving(by: -step)
      let numeric = difference / (2 * Double(step))
      value.write(before)
      #expect(
        abs(numeric - Double(analytic[i])) < tolerance * max(1, abs(numeric)),
        "element \(i) of \(name): differences say \(numeric), the tape \(analytic[i])",
        sourceLocation: sourceLocation)
    }
  }
  try check(x, try #require(probe.gradient, "no gradient reached x"), "dx")
  for parameter in parameters {
    #expect(parameter.hasGradient, "\(parameter.name) got none", sourceLocation: sourceLocation)
    try check(parameter.value, parameter.gradient, parameter.name)
  }
}
