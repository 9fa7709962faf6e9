import Autograd
public import KernelLoops
import Kernels
public import Tensors

/// Root-mean-square normalization of each row.
///
///     y = γ · x / √(mean x² + ε)
///
/// with the mean over the channels of one row. `epsilonPlacement: outside` divides by
/// √(mean x²) + ε instead.
///
/// - Shapes: x and y `[…, C]`, γ `[C]`.
/// - Communication: none.
/// - Source: Zhang & Sennrich, 2019, eq. 4, <https://arxiv.org/abs/1910.07467>.
public enum RMSNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Tensor
  }

  /// y of x.
  public static func forward(_ x: Tensor, gain: Tensor, rule: RowRule) -> (
    y: Tensor, saved: Saved
  ) {
    let (y, rows) = Kernel.rowNormalize(
      .rms, x, width: x.shape.channels, gain: gain, bias: .zeros(gain.shape), rule: rule)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradients of x and gain.
  ///
  ///     h = γ · dy,  r = 1 / √(mean x² + ε)
  ///     dx = r · h − x · r³ · mean (h·x)
  ///     dγ = Σ dy · x · r     over rows
  public static func backward(
    _ dy: Tensor, gain: Tensor, saved: Saved, overwriting: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>
  ) {
    let (dx, _, dgain) = Kernel.rowGradient(
      .rms, saved.x, dy, width: saved.x.shape.channels, gain: gain, saved: saved.rows,
      overwriting: overwriting)
    return (dx, dgain)
  }

  /// The norm as a layer of a model.
  struct Module: Layer {
    private let affine: Affine
    private let rule: RowRule
    var parameters: [Parameter] { affine.parameters }

    init(_ name: String, channels: Int, _ settings: NormSettings) {
      affine = Affine(name, channels: channels, affine: settings.affine, hasBias: false)
      rule = RowRule(
        epsilon: Float(settings.epsilon), outside: settings.epsilonPlacement == .outside)
    }

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      func normalized(_ x: Tensor) -> (y: Tensor, saved: Saved) {
        RMSNorm.forward(x, gain: affine.gainValue, rule: rule)
      }
      let (y, saved) = normalized(x.value)
      return tape.record(
        y, uses: parameters,
        inputPullback: { [affine, gradient = x.gradient] dy, overwriting in
          let (dx, dgain) = RMSNorm.backward(
            dy, gain: affine.gainValue, saved: saved, overwriting: overwriting)
          gradient?.add(dx)
          affine.gain?.contribute(dgain)
        }, again: { normalized(saved.x).y })
    }
  }
}
