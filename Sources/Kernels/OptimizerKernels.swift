public import LockstepFloatLoops
import LockstepKernelLoops
public import LockstepTensors

extension Kernel {
  /// One step of SGD on `parameter`, in place, with its velocity.
  public static func sgd(
    _ parameter: Tensor, gradient: Tensor, velocity: Tensor, step: SGDStep
  ) {
    precondition(gradient.count == parameter.count && velocity.count == parameter.count)
    table.sgd(parameter.output, gradient.input, velocity.output, parameter.count, step)
  }

  /// One step of AdamW on `parameter`, in place, with its moments.
  public static func adamW(
    _ parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: AdamWStep
  ) {
    precondition(gradient.count == parameter.count)
    precondition(first.count == parameter.count && second.count == parameter.count)
    table.adamW(
      parameter.output, gradient.input, first.output, second.output, parameter.count, step)
  }
}
