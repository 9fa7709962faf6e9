import LockstepKernelLoops
import LockstepTensors

// An address does not keep its memory alive: a tensor made for one call alone has to be kept past
// it, or its block goes back to the pool while the loop runs.

extension Tensor {
  /// The first element's address, to read.
  var input: Input { UnsafePointer(storage.pointer + offset) }
  /// The first element's address, to write.
  var output: Output { storage.pointer + offset }
}
