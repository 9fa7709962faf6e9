import LockstepAutograd
import LockstepKernels
import LockstepTensors

/// What follows a norm's layer in one entry of the tape, a residual or a rectifier, on the way back.
struct FusedTail {
  private let residual: Gradient?
  private let hasResidual: Bool
  private let output: Tensor?

  /// What follows an output `y`; it is kept where it is rectified.
  init(_ residual: Variable?, rectified: Bool, _ y: Tensor) {
    self.residual = residual?.gradient
    hasResidual = residual != nil
    output = rectified ? y : nil
  }

  /// Whether nothing follows, so that the output can be computed again from the norm's input.
  var isEmpty: Bool { !hasResidual && output == nil }

  /// dy, for the norm's backward pass.
  func gradient(_ dy: Tensor, _ backward: Backward) -> OutputGradient {
    OutputGradient(
      dy, rectified: output, hasResidual: hasResidual, overwriting: backward.mayOverwrite)
  }

  /// Gives the residual its gradient, after the norm's backward pass.
  func flow(_ dy: OutputGradient) { residual?.add(dy.passed) }
}
