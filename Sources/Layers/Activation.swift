public import LockstepAutograd
import LockstepKernels

/// A function of each element.
public enum Activation: String, Layer, CaseIterable, Sendable {
  /// max(x, 0).
  case relu
  /// x · Φ(x), the exact form (Hendrycks & Gimpel, 2016).
  case gelu
  /// x · (1 + tanh √(2/π)(x + 0.044715 x³)) / 2, the tanh form.
  case geluTanh = "gelu-tanh"
  /// 1 / (1 + e⁻ˣ), which saturates on both sides.
  case sigmoid

  /// Applies the function to every element.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let input = x.value
    switch self {
    case .relu:
      let y = Kernel.relu(input)
      return tape.record(
        y,
        inputPullback: { [gradient = x.gradient] dy, backward in
          gradient?.add(Kernel.reluGradient(output: y, dy, overwriting: backward.mayOverwrite))
        })
    case .gelu:
      return tape.record(
        Kernel.gelu(input),
        inputPullback: { [gradient = x.gradient] dy, backward in
          gradient?.add(Kernel.geluGradient(input: input, dy, overwriting: backward.mayOverwrite))
        }, again: { Kernel.gelu(input) })
    case .geluTanh:
      return tape.record(
        Kernel.geluTanh(input),
        inputPullback: { [gradient = x.gradient] dy, backward in
          gradient?.add(
            Kernel.geluTanhGradient(input: input, dy, overwriting: backward.mayOverwrite))
        }, again: { Kernel.geluTanh(input) })
    case .sigmoid:
      let y = Kernel.sigmoid(input)
      return tape.record(
        y,
        inputPullback: { [gradient = x.gradient] dy, backward in
          gradient?.add(Kernel.sigmoidGradient(output: y, dy, overwriting: backward.mayOverwrite))
        })
    }
  }
}
