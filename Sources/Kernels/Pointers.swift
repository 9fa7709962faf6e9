import KernelLoops
import Tensors

extension Tensor {
  /// The first element's address, to read.
  var input: Input { UnsafePointer(storage.pointer + offset) }
  /// The first element's address, to write.
  var output: Output { storage.pointer + offset }
}
