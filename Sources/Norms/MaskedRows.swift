import LockstepAutograd
import LockstepKernels
import LockstepTensors

/// A norm of padded sequences that sees the positions which count and no other: what statistics it
/// takes over a batch, the padding has no part in.
///
/// Where the tape says which positions count, the others come out as 0 and pass no gradient; a
/// sequence without one counts for nothing. How many count may differ between ranks.
///
/// - Shapes: x and y `[N, T, C]`.
/// - Communication: that of the norm.
struct MaskedRows: Layer {
  let norm: any Layer

  var parameters: [Parameter] { norm.parameters }
  var buffers: [Buffer] { norm.buffers }
  var counters: [Counter] { norm.counters }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
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
