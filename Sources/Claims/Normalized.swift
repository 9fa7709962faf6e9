import LockstepAutograd
import LockstepNorms
import LockstepTensors

/// The output of a norm without gain and bias for `x`, in training mode.
func normalized(_ x: Tensor, _ kind: NormKind, epsilon: Double) throws -> Tensor {
  var settings = NormSettings(kind)
  (settings.epsilon, settings.affine) = (epsilon, false)
  let norm = makeNorm(NormSite("norm", channels: x.shape.channels), settings)
  let tape = Tape(.training)
  return try norm(tape.input(x), on: tape).value
}
