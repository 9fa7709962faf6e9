import Autograd
import Kernels
public import Tensors

/// Each row as a unit vector.
///
///     y = x / max(‖x‖, ε)
///
/// with the Euclidean norm of one row's channels. A row of zeros stays one.
///
/// - Shapes: x and y `[…, C]`.
/// - Communication: none.
/// - Source: the rows of QKNorm, Henry, Dachapally, Pawar & Chen, 2020,
///   <https://arxiv.org/abs/2010.04245>.
public enum L2Norm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Storage<Double>
  }

  private static let one = Tensor([1], shape: [1])

  /// y of x.
  public static func forward(_ x: Tensor, epsilon: Double) -> (y: Tensor, saved: Saved) {
    let (y, rows) = Kernel.unitRows(x, width: x.shape.channels, gain: one, epsilon: epsilon)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradient of x.
  ///
  ///     u = x / ‖x‖
  ///     dx = (dy − u · Σ u·dy) / ‖x‖,  and dy / ε where ‖x‖ < ε
  public static func backward(_ dy: Tensor, saved: Saved, overwriting: Bool = false) -> Tensor {
    Kernel.unitRowsGradient(
      saved.x, dy, width: saved.x.shape.channels, gain: one, saved: saved.rows,
      overwriting: overwriting
    ).dx
  }

  /// The norm as a layer of a model.
  struct Module: Layer {
    let epsilon: Double

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      let (y, saved) = L2Norm.forward(x.value, epsilon: epsilon)
      return tape.record(
        y,
        inputPullback: { [gradient = x.gradient] dy, overwriting in
          gradient?.add(L2Norm.backward(dy, saved: saved, overwriting: overwriting))
        })
    }
  }
}
