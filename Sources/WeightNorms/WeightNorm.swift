public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// Weight normalization: a layer's weight by the direction and the length of each output's row.
///
///     w = g · v / ‖v‖
///
/// with the Euclidean norm of all that belongs to one output. A row of zeros stays one.
///
/// - Shapes: v and w `[outputs, …]`, g `[outputs]`.
/// - Communication: none.
/// - Source: Salimans & Kingma, 2016, eq. 2 and 3, <https://arxiv.org/abs/1602.07868>.
public enum WeightNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let v: Tensor
    let rows: Storage<Double>
  }

  private static func width(_ v: Tensor) -> Int { v.shape.dimensions.dropFirst().reduce(1, *) }

  /// w of v.
  public static func forward(_ v: Tensor, gain: Tensor) -> (w: Tensor, saved: Saved) {
    precondition(gain.count == v.shape[0], "\(gain.count) lengths for \(v.shape[0]) outputs")
    let (w, rows) = Kernel.unitRows(v, width: width(v), gain: gain, epsilon: 0)
    return (w, Saved(v: v, rows: rows))
  }

  /// The gradients of v and g.
  ///
  ///     dg = Σ dw · v / ‖v‖
  ///     dv = g / ‖v‖ · dw − g · dg / ‖v‖² · v
  public static func backward(
    _ dw: Tensor, gain: Tensor, saved: Saved, overwriting: Bool = false
  ) -> (dv: Tensor, dgain: ArraySlice<Double>) {
    let (dv, dgain) = Kernel.unitRowsGradient(
      saved.v, OutputGradient(dw, overwriting: overwriting), width: width(saved.v), gain: gain,
      saved: saved.rows)
    return (dv, dgain[...])
  }

  /// A layer's weight that is trained by direction v and lengths g, under PyTorch's names; it begins
  /// as `initial`.
  public static func weight(_ name: String, _ initial: Tensor) -> Weight {
    let lengths = Kernel.rowLengths(initial, width: width(initial))
    let ones = initial.shape.dimensions.dropFirst().map { _ in 1 }
    let gain = Parameter(
      "\(name).weight_g", Tensor(lengths.map(Float.init), shape: Shape([initial.shape[0]] + ones)))
    let v = Parameter("\(name).weight_v", initial)
    return Weight(initial.shape, of: [gain, v]) { tape in
      let (w, saved) = forward(v.value, gain: gain.value)
      return tape.record(
        w, by: LayerName(name), uses: [gain, v],
        inputPullback: { dw, backward in
          let (dv, dgain) = WeightNorm.backward(
            dw, gain: gain.value, saved: saved, overwriting: backward.mayOverwrite)
          v.contribute(dv)
          gain.contribute(dgain)
        })
    }
  }
}
