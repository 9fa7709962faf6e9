import CDNNL
package import LockstepTensors

/// A tensor that a primitive reads or writes, brought from the layout in which its owner holds it into the one
/// that the primitive asks for, and back.
package final class PrimitiveOperand {
  // Owns `wanted`.
  private let primitive: Primitive
  private let argument: Int32
  private let wanted: cdnnl_desc
  private let held: Description
  /// Whether the primitive takes the tensor as it is held.
  package let isTakenAsHeld: Bool
  private lazy var inward = Primitive("reorder", "argument \(self.argument)") {
    cdnnl_reorder(&$0, engine, self.held.handle, self.wanted)
  }
  private lazy var outward = Primitive("reorder", "argument \(self.argument)") {
    cdnnl_reorder(&$0, engine, self.wanted, self.held.handle)
  }

  /// The tensor in the place of `argument`, a DNNL_ARG of the primitive's.
  package init(_ primitive: Primitive, _ argument: Int32, held: Description) {
    self.primitive = primitive
    self.argument = argument
    self.held = held
    wanted = cdnnl_operand_desc(primitive.description, argument)
    isTakenAsHeld = cdnnl_desc_equal(wanted, held.handle) != 0
  }

  private func bound(_ tensor: Tensor) -> Primitive.Argument { (argument, wanted, tensor) }

  /// The argument for a tensor that the primitive reads.
  package func read(_ tensor: Tensor) -> Primitive.Argument {
    if isTakenAsHeld { return bound(tensor) }
    let room = room
    inward.run([(cdnnl_arg_src(), held.handle, tensor), (cdnnl_arg_dst(), wanted, room)])
    return bound(room)
  }

  /// Lets `body` write a tensor in the primitive's layout, and copies it into its owner's.
  package func write(into tensor: Tensor, _ body: (Primitive.Argument) -> Void) {
    if isTakenAsHeld { return body(bound(tensor)) }
    let room = room
    body(bound(room))
    bring(room, into: tensor)
  }

  /// Lets `body` write a tensor in the primitive's layout, and returns it in its owner's.
  ///
  /// - Parameters:
  ///   - shape: The tensor's.
  ///   - precision: The tensor's.
  ///   - spare: A tensor that nobody needs after `body`, whose memory is taken where it is as large.
  ///   - body: Gets the argument to write.
  /// - Returns: The tensor.
  package func written(
    _ shape: Shape, _ precision: Precision, over spare: Tensor?,
    _ body: (Primitive.Argument) -> Void
  ) -> Tensor {
    let room = isTakenAsHeld ? Tensor.uninitialized(shape, precision) : room
    body(bound(room))
    guard !isTakenAsHeld else { return room }
    let tensor =
      if let spare, spare.precision == precision, spare.count == shape.count {
        spare.reshaped(shape)
      } else { Tensor.uninitialized(shape, precision) }
    bring(room, into: tensor)
    return tensor
  }

  private func bring(_ room: Tensor, into tensor: Tensor) {
    outward.run([(cdnnl_arg_src(), wanted, room), (cdnnl_arg_dst(), held.handle, tensor)])
  }

  /// Memory for the tensor as the primitive takes it.
  private var room: Tensor { .uninitialized([(cdnnl_desc_bytes(wanted) + 3) / 4]) }
}
