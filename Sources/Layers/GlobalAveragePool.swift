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
public struct Flatten: Layer {
  /// A layer without parameters.
  public init() {}

  /// Reads the same elements as rows.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let shape = x.value.shape
    let row = shape.dimensions.dropFirst().reduce(1, *)
    return tape.record(
      x.value.reshaped([shape[0], row]),
      inputPullback: { [gradient = x.gradient] dy, _ in gradient?.add(dy.reshaped(shape)) })
  }
}
