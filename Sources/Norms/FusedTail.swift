import LockstepAutograd
import LockstepKernels
import LockstepTensors

extension NormEpilogue {
  /// What follows a norm of x in its pass, with a mask where the tape records and words of it are whole.
  ///
  /// `width` is how many elements the norm takes as a row; nil for all channels.
  init(
    adding residual: Variable?, rectifies: Bool, of x: Tensor, width: Int? = nil, on tape: Tape
  ) {
    let isMasked = tape.mode == .training && rectifies
    self.init(
      adding: residual?.value, rectifies: rectifies,
      mask: isMasked ? RectifierMask(x.shape, width: width ?? x.shape.channels) : nil)
  }
}

/// What follows a norm's layer in one entry of the tape, a residual or a rectifier, on the way back.
struct FusedTail {
  private let residual: Gradient?
  private let hasResidual: Bool
  private let mask: RectifierMask?
  /// The rectified output, where it has no mask.
  private let output: Output?
  /// Computes the norm's output again, which therefore need not be kept; nil where it has to be.
  let again: (() -> Tensor)?

  /// What follows an output `y`, which `compute` can compute again from what the norm keeps anyway.
  ///
  /// With a residual it is kept: the layers that follow keep it in any case.
  init(
    _ residual: Variable?, _ epilogue: NormEpilogue, _ y: Tensor,
    _ compute: @escaping (NormEpilogue) -> Tensor
  ) {
    self.residual = residual?.gradient
    hasResidual = residual != nil
    mask = epilogue.mask
    let output =
      residual == nil
      ? Output { compute(epilogue.withoutMask) } : epilogue.rectifies ? Output(y) : nil
    self.output = epilogue.rectifies && mask == nil ? output : nil
    again = residual == nil ? output.map { output in { output.value } } : nil
  }

  /// dy, for the norm's backward pass, which adds to it what else there is.
  func gradient(_ dy: Tensor, _ backward: Backward) -> OutputGradient {
    OutputGradient(
      dy, adding: backward.addend, rectified: output?.value, mask: mask, hasResidual: hasResidual,
      overwriting: backward.mayOverwrite, overwritingAddend: backward.mayOverwriteAddend)
  }

  /// Gives the residual its gradient, after the norm's backward pass.
  func flow(_ dy: OutputGradient) { residual?.add(dy.passed) }

  /// An output that is kept, or that is computed once on the way back, for the layer behind it and for the
  /// rectifier's mask.
  private final class Output {
    private var tensor: Tensor?
    private let compute: () -> Tensor

    init(_ tensor: Tensor) {
      self.tensor = tensor
      compute = { tensor }
    }

    init(_ compute: @escaping () -> Tensor) { self.compute = compute }

    var value: Tensor {
      if let tensor { return tensor }
      let computed = compute()
      tensor = computed
      return computed
    }
  }
}
