package import CDNNL

/// A primitive that reads a layer's weights, or writes their gradient, in a precision and layout of its own.
package struct WeightedPass {
  /// What it runs.
  package let primitive: Primitive
  /// The weights or their gradient, which are brought into the primitive's layout, or out of it, at each use.
  package let weights: PrimitiveOperand

  /// A pass of `primitive`; `plain` says how the layer holds its weights.
  package init(_ primitive: Primitive, _ pass: cdnnl_pass, plain: Description) {
    self.primitive = primitive
    let argument =
      pass == CDNNL_BACKWARD_WEIGHTS ? cdnnl_arg_diff_weights() : cdnnl_arg_weights()
    weights = PrimitiveOperand(primitive, argument, held: plain)
  }
}
