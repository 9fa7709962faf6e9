import LockstepAutograd
import LockstepKernels
import LockstepLayers
import LockstepTensors

/// A norm of padded sequences that sees the positions which count and no other: what statistics it
/// takes over a batch, the padding has no part in.
///
/// Where the tape says which positions count, the others come out as 0 and pass no gradient; a
/// sequence without one counts for nothing. How many count may differ between ranks.
///
/// - Shapes: x and y `[N, T, C]`.
/// - Communication: that of the norm.
struct MaskedRows: FusedLayer {
  let norm: any Layer

  var parameters: [Parameter] { norm.parameters }
  var buffers: [Buffer] { norm.buffers }
  var counters: [Counter] { norm.counters }

  func callAsFunction(
    _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
  ) throws -> Variable {
    if tape.validRows == nil, let norm = norm as? any FusedLayer {
      return try norm(x, adding: residual, rectified: rectified, on: tape)
    }
    let y = try masked(x, on: tape)
    // The padding's residual is added too.
    let sum = residual.map { tape.add(y, $0) } ?? y
    return rectified ? Activation.relu(sum, on: tape) : sum
  }

  private func masked(_ x: Variable, on tape: Tape) throws -> Variable {
    guard let rows = tape.validRows else { return try norm(x, on: tape) }
    let shape = x.value.shape
    let valid = tape.record(
      Kernel.gatherRows(x.value, rows),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(Kernel.scatterRows(dy, rows, shape: shape))
      })
    let y = try norm(valid, on: tape)
    return tape.record(
      Kernel.scatterRows(y.value, rows, shape: shape),
      inputPullback: { [gradient = y.gradient] dy, _ in
        gradient?.add(Kernel.gatherRows(dy, rows))
      })
  }
}
