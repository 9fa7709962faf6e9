import LockstepFloatLoops
package import LockstepKernelLoops
package import LockstepTensors
package import LockstepVectors

// An address does not keep its memory alive: a tensor made for one call alone has to be kept past
// it, or its block goes back to the pool while the loop runs.

extension Tensor {
  /// The first element's address in a float32 tensor, to read.
  var input: Input { UnsafePointer(storage.pointer + offset) }
  /// The first element's address in a float32 tensor, to write.
  var output: Output { storage.pointer + offset }
}

/// A number that tensors hold, with the loops on it.
package protocol TensorElement: KernelElement {
  /// The loops of the instruction set in use.
  static var loops: ElementLoops<Self> { get }
  /// The first element's address in a tensor of this precision.
  static func pointer(_ x: Tensor) -> Target<Self>
}

/// The loops on one kind of number; a class, since a copy of all of them would cost as much as a small loop.
package final class ElementLoops<E: KernelElement>: Sendable {
  package let kernels: ElementKernels<E>
  init(_ kernels: ElementKernels<E>) { self.kernels = kernels }
}

private let float32Loops = ElementLoops(Kernel.table.float32)
private let bfloat16Loops = ElementLoops(Kernel.table.bfloat16)

extension Float: TensorElement {
  package static var loops: ElementLoops<Float> { float32Loops }
  package static func pointer(_ x: Tensor) -> Target<Float> { x.output }
}

extension BFloat16: TensorElement {
  package static var loops: ElementLoops<BFloat16> { bfloat16Loops }
  package static func pointer(_ x: Tensor) -> Target<BFloat16> {
    x.narrowStorage.pointer + x.offset
  }
}

extension TensorElement {
  package static var kernels: ElementKernels<Self> {
    _read { yield loops.kernels }
  }
  /// The first element's address, to read.
  package static func source(_ x: Tensor) -> Source<Self> { UnsafePointer(pointer(x)) }
  /// The first element's address, to write.
  package static func target(_ x: Tensor) -> Target<Self> { pointer(x) }
}

extension Tensor {
  /// The type of the elements, for a function that is generic over it.
  package var element: any TensorElement.Type {
    switch precision {
    case .float32: Float.self
    case .bfloat16: BFloat16.self
    }
  }
}
