import LockstepKernelLoops
public import LockstepTensors

extension Kernel {
  /// The mean over positions: `[N, positions…, C]` to `[N, C]`.
  public static func averagePositions(_ x: Tensor) -> Tensor {
    let (samples, channels, positions) = (x.shape[0], x.shape.channels, x.shape.positions)
    let y = Tensor.uninitialized([samples, channels])
    let sums = Storage<Double>(count: channels)
    for n in 0..<samples {
      sums.fill(0..<channels, with: 0)
      table.columnSums(x.input + n * positions * channels, positions, channels, sums.pointer)
      for c in 0..<channels {
        y.output[n * channels + c] = Float(sums.pointer[c] / Double(positions))
      }
    }
    return y
  }

  /// The gradient of ``averagePositions(_:)``: dy / positions at every position of `shape`.
  public static func averagePositionsGradient(_ dy: Tensor, shape: Shape) -> Tensor {
    let (samples, channels, positions) = (shape[0], shape.channels, shape.positions)
    precondition(dy.count == samples * channels)
    let dx = Tensor.uninitialized(shape)
    for n in 0..<samples {
      let first = dx.output + n * positions * channels
      table.scale(dy.input + n * channels, 1 / Float(positions), channels, first)
      for p in 1..<max(positions, 1) {
        (first + p * channels).update(from: first, count: channels)
      }
    }
    return dx
  }
}
