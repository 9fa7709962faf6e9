import LockstepKernels
public import LockstepTensors

/// Scales all gradients together, in place, so that their global norm is at most `maximum`.
///
/// The gradients are those summed over all ranks: every rank computes the same norm.
///
/// - Returns: the norm before, ‖g‖₂ over all gradients.
@discardableResult
public func clipGradients(_ gradients: [Tensor], toGlobalNorm maximum: Double) -> Double {
  let norm = gradients.reduce(0) { $0 + Kernel.sumOfSquares($1) }.squareRoot()
  // As PyTorch has it; a NaN norm compares false and leaves the gradients to the loss check.
  let factor = maximum / (norm + 1e-6)
  if factor < 1 {
    for gradient in gradients { Kernel.scale(gradient, by: Float(factor)) }
  }
  return norm
}
