package import CDNNL
package import LockstepTensors

/// A primitive that reads a layer's weights, or writes their gradient, in a precision and layout of its own.
///
/// The weights are brought there for each use.
package final class WeightedPass {
  /// What it runs.
  package let primitive: Primitive
  private let weights: PrimitiveOperand

  /// A pass of `primitive`; `plain` says how the layer holds its weights.
  package init(_ primitive: Primitive, _ pass: cdnnl_pass, plain: Description) {
    self.primitive = primitive
    let argument =
      pass == CDNNL_BACKWARD_WEIGHTS ? cdnnl_arg_diff_weights() : cdnnl_arg_weights()
    weights = PrimitiveOperand(primitive, argument, held: plain)
  }

  /// The weights in this pass's precision and layout.
  package func packed(_ plainWeights: Tensor) -> Primitive.Argument { weights.read(plainWeights) }

  /// Lets `body` write a weight gradient in this pass's layout, and brings it into the layer's.
  package func unpacked(into gradient: Tensor, _ body: (Primitive.Argument) -> Void) {
    weights.write(into: gradient, body)
  }
}
