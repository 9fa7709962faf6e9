import Autograd
public import KernelLoops
import Kernels
public import Tensors

/// Layer normalization of each row.
///
///     μ = mean x,  v = mean (x − μ)²
///     y = γ · (x − μ) / √(v + ε) + β
///
/// with both means over the channels of one row. `epsilonPlacement: outside` divides by √v + ε
/// instead, and `unbiased` takes v over one less than the number of channels. `detached` takes μ and
/// v for constants in the backward pass: DetachNorm of Xu, Sun, Zhang, Zhao & Lin, 2019,
/// <https://arxiv.org/abs/1911.07013>.
///
/// - Shapes: x and y `[…, C]`, γ and β `[C]`.
/// - Communication: none.
/// - Source: Ba, Kiros & Hinton, 2016, eq. 3 and 4, <https://arxiv.org/abs/1607.06450>.
public enum LayerNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Tensor
  }

  /// y of x.
  public static func forward(_ x: Tensor, gain: Tensor, bias: Tensor, rule: RowRule) -> (
    y: Tensor, saved: Saved
  ) {
    let (y, rows) = Kernel.rowNormalize(
      .layer, x, width: x.shape.channels, gain: gain, bias: bias, rule: rule)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradients of x, gain and bias.
  ///
  ///     t = x − μ,  h = γ · dy,  r = 1 / √(v + ε)
  ///     dx = r · (h − mean h) − t · r³ · mean (h·t)
  ///     dγ = Σ dy · t · r,  dβ = Σ dy     over rows
  ///
  /// Where `detached`, dx = r · h is all that is left of it.
  public static func backward(
    _ dy: Tensor, gain: Tensor, saved: Saved, detached: Bool = false, overwriting: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    let (dx, dbias, dgain) = Kernel.rowGradient(
      .layer, saved.x, dy, width: saved.x.shape.channels, gain: gain, saved: saved.rows,
      overwriting: overwriting && !detached)
    // The sums come from the whole pass, whose dx is written over with the detached one.
    if detached { Kernel.rowScale(dy, gain: gain, saved: saved.rows, into: dx) }
    return (dx, dgain, dbias)
  }

  /// The norm as a layer of a model.
  struct Module: Layer {
    private let affine: Affine
    private let rule: RowRule
    private let detached: Bool
    var parameters: [Parameter] { affine.parameters }

    init(_ name: String, channels: Int, _ settings: NormSettings) {
      affine = Affine(name, channels: channels, affine: settings.affine)
      rule = settings.rule
      detached = settings.detached
    }

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      func normalized(_ x: Tensor) -> (y: Tensor, saved: Saved) {
        LayerNorm.forward(x, gain: affine.gainValue, bias: affine.biasValue, rule: rule)
      }
      let (y, saved) = normalized(x.value)
      return tape.record(
        y, uses: parameters,
        inputPullback: { [affine, detached, gradient = x.gradient] dy, overwriting in
          let (dx, dgain, dbias) = LayerNorm.backward(
            dy, gain: affine.gainValue, saved: saved, detached: detached,
            overwriting: overwriting)
          gradient?.add(dx)
          affine.gain?.contribute(dgain)
          affine.bias?.contribute(dbias)
        }, again: { normalized(saved.x).y })
    }
  }
}
