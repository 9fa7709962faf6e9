import LockstepKernels
public import LockstepTensors

/// Scales all gradients together, in place, so that their global norm is at most `maximum`.
///
/// The gradients have been summed over all ranks, so every rank computes the same norm.
///
/// - Returns: The norm before scaling, ‖g‖₂ over all gradients.
@discardableResult
public func clipGradients(_ gradients: [Tensor], toGlobalNorm maximum: Double) -> Double {
  let norm = gradients.reduce(0) { $0 + Kernel.sumOfSquares($1) }.squareRoot()
  // As in PyTorch. A NaN norm compares false and leaves the gradients as they are; the loss check finds them.
  let factor = maximum / (norm + 1e-6)
  if factor < 1 {
    for gradient in gradients { Kernel.scale(gradient, by: Float(factor)) }
  }
  return norm
}
