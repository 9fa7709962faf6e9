public import LockstepAutograd
import LockstepKernels
import LockstepTensors

/// The mean over all positions of each sample: `[N, positions…, C]` to `[N, C]`.
public struct GlobalAveragePool: Layer {
  /// A layer without parameters.
  public init() {}

  /// Averages every channel of every sample.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let shape = x.value.shape
    return tape.record(
      Kernel.averagePositions(x.value),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(Kernel.averagePositionsGradient(dy, shape: shape))
      })
  }
}

/// Every sample as one row: `[N, …]` to `[N, elements]`.
///
/// Of an image, all positions of the first channel come first, then those of the second, and so on: PyTorch's
/// order, so that the weights of a layer behind this one mean the same there.
public struct Flatten: Layer {
  /// A layer without parameters.
  public init() {}

  /// Turns `[N, …]` into `[N, elements]`.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let shape = x.value.shape
    let row = shape.dimensions.dropFirst().reduce(1, *)
    guard shape.rank == 4, shape.channels > 1 else {
      return tape.record(
        x.value.reshaped([shape[0], row]),
        inputPullback: { [gradient = x.gradient] dy, _ in gradient?.add(dy.reshaped(shape)) })
    }
    let channelsFirst: Shape = [shape[0], shape[3], shape[1], shape[2]]
    return tape.record(
      Kernel.converted(x.value.channelsFirst(), to: x.value.precision).reshaped([shape[0], row]),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(
          Kernel.converted(dy.reshaped(channelsFirst).channelsLast(), to: dy.precision))
      })
  }
}
