import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

extension Kernel {
  /// The mean over positions: `[N, positions…, C]` to `[N, C]`.
  public static func averagePositions(_ x: Tensor) -> Tensor {
    let (samples, channels, positions) = (x.shape[0], x.shape.channels, x.shape.positions)
    let y = Tensor.uninitialized([samples, channels], x.precision)
    let sums = Storage<Double>(count: channels)
    func run<E: TensorElement>(_: E.Type) {
      for n in 0..<samples {
        sums.fill(0..<channels, with: 0)
        E.kernels.columnSums(
          E.source(x) + n * positions * channels, positions, channels, sums.pointer)
        for c in 0..<channels {
          E.target(y)[n * channels + c] = E(Float(sums.pointer[c] / Double(positions)))
        }
      }
    }
    run(x.element)
    return y
  }

  /// The gradient of ``averagePositions(_:)``: dy / positions at every position of `shape`.
  public static func averagePositionsGradient(_ dy: Tensor, shape: Shape) -> Tensor {
    let (samples, channels, positions) = (shape[0], shape.channels, shape.positions)
    precondition(dy.count == samples * channels)
    let dx = Tensor.uninitialized(shape, dy.precision)
    func run<E: TensorElement>(_: E.Type) {
      for n in 0..<samples {
        let first = E.target(dx) + n * positions * channels
        E.kernels.scale(E.source(dy) + n * channels, 1 / Float(positions), channels, first)
        for p in 1..<max(positions, 1) {
          (first + p * channels).update(from: first, count: channels)
        }
      }
    }
    run(dy.element)
    return dx
  }
}
