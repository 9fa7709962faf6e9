import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

extension Kernel {
  /// What ``groupNormalize(_:groups:gain:bias:epsilon:epilogue:)`` keeps for the backward pass.
  public struct GroupStatistics: Sendable {
    /// The mean of each sample's channel's group as two floats, K and the rest, `[2, samples · channels]`.
    let centers: Tensor
    /// 1 / √(variance + ε) of each sample's groups.
    let inverses: Storage<Double>
    let shape: GroupShape
  }

  /// Normalizes the groups of channels of each sample `[N, positions…, C]` over all positions.
  public static func groupNormalize(
    _ x: Tensor, groups: Int, gain: Tensor, bias: Tensor, epsilon: Double,
    epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: GroupStatistics) {
    let channels = x.shape.channels
    precondition(channels % groups == 0, "\(groups) groups of \(channels) channels")
    precondition(gain.count == channels && bias.count == channels)
    let shape = GroupShape(
      samples: x.count == 0 ? 0 : x.shape[0], positions: x.shape.positions, channels: channels,
      groups: groups)
    let y = Tensor.uninitialized(x.shape, x.precision)
    let saved = GroupStatistics(
      centers: .uninitialized([2, shape.samples * channels]),
      inverses: Storage(count: shape.samples * groups), shape: shape)
    let scratch = Storage<Double>(count: 4 * channels)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.groupNormalize(
        E.source(x), shape, gain.input, bias.input, epsilon, epilogue.loop(E.self, of: y),
        E.target(y), saved.centers.output, saved.inverses.pointer, scratch.pointer)
    }
    run(x.element)
    withExtendedLifetime(scratch) {}
    return (y, saved)
  }

  /// The backward pass of ``groupNormalize(_:groups:gain:bias:epsilon:epilogue:)``.
  ///
  /// - Returns: dx, and the float64 sums Σ dy and Σ dy·t·r that are the gradients of bias and gain.
  public static func groupGradient(
    _ x: Tensor, _ dy: OutputGradient, gain: Tensor, saved: GroupStatistics
  ) -> (dx: Tensor, dbias: ArraySlice<Double>, dgain: ArraySlice<Double>) {
    let channels = x.shape.channels
    precondition(dy.dy.count == x.count && gain.count == channels)
    let sums = Storage<Double>(count: 2 * channels, filledWith: 0)
    let scratch = Storage<Double>(count: 4 * channels)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.groupGradient(
        E.source(x), E.source(dy.dy), saved.shape, gain.input, saved.centers.input,
        saved.inverses.pointer, dy.loop(E.self), E.target(dy.dx), sums.pointer, scratch.pointer)
    }
    run(x.element)
    withExtendedLifetime(scratch) {}
    let all = sums.copy(0..<2 * channels)
    return (dy.dx, all[..<channels], all[channels...])
  }
}
