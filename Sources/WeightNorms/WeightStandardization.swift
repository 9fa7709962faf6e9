public import LockstepAutograd
import LockstepKernelLoops
import LockstepKernels
public import LockstepTensors

/// Weight standardization: each output's weights, less their mean, divided by their deviation.
///
///     w = (v − mean v) / (sd v + ε)
///
/// with both over all that belongs to one output, and the deviation over one less than their number.
///
/// - Shapes: v and w `[outputs, …]`.
/// - Communication: none.
/// - Source: Qiao, Wang, Liu, Shen & Yuille, 2019, eq. 4, <https://arxiv.org/abs/1903.10520>.
public enum WeightStandardization {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let v: Tensor
    let rows: Tensor
  }

  private static func width(_ v: Tensor) -> Int { v.shape.dimensions.dropFirst().reduce(1, *) }

  private static func ones(_ v: Tensor) -> Tensor { .filled([width(v)], with: 1) }

  /// w of v.
  public static func forward(_ v: Tensor, epsilon: Double = 1e-5) -> (w: Tensor, saved: Saved) {
    let (w, rows) = Kernel.rowNormalize(
      .layer, v, width: width(v), gain: ones(v), bias: .zeros([width(v)]),
      rule: RowRule(epsilon: Float(epsilon), outside: true, unbiased: true))
    return (w, Saved(v: v, rows: rows))
  }

  /// The gradient of v.
  ///
  ///     u = (v − mean v) / (sd v + ε)
  ///     dv = (dw − mean dw − u · Σ dw·u · (sd + ε) / ((K − 1) · sd)) / (sd + ε)     with K weights
  public static func backward(_ dw: Tensor, saved: Saved, overwriting: Bool = false) -> Tensor {
    Kernel.rowGradient(
      .layer, saved.v, OutputGradient(dw, overwriting: overwriting), width: width(saved.v),
      gain: ones(saved.v), saved: saved.rows
    ).dx
  }

  /// A layer's weight that is trained by v, under the weight's own name; it begins as `initial`.
  public static func weight(_ name: String, _ initial: Tensor) -> Weight {
    let v = Parameter("\(name).weight", initial)
    return Weight(initial.shape, of: [v]) { tape in
      let (w, saved) = forward(v.value)
      return tape.record(
        w, by: LayerName(name), uses: [v],
        inputPullback: { dw, backward in
          v.contribute(
            WeightStandardization.backward(dw, saved: saved, overwriting: backward.mayOverwrite))
        })
    }
  }
}
