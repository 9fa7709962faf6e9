import LockstepAutograd
import LockstepNorms
import LockstepTensors

/// `x` under a norm without gain and bias, in training mode.
func normalized(_ x: Tensor, _ kind: NormKind, epsilon: Double) throws -> Tensor {
  var settings = NormSettings(kind)
  (settings.epsilon, settings.affine) = (epsilon, false)
  let norm = makeNorm(NormSite("norm", channels: x.shape.channels), settings)
  let tape = Tape(.training)
  return try norm(tape.input(x), on: tape).value
}
