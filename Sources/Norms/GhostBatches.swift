import LockstepAutograd
import LockstepTensors

/// A batch norm of every `size` samples of a rank, one ghost batch after the other.
///
/// The last ghost batch has what is left. The running statistics take in each of them, in order. In evaluation
/// nothing is split. The padding of sequences counts as any position.
///
/// - Shapes: x and y `[N, …, C]`.
/// - Communication: none.
/// - Source: Hoffer, Hubara & Soudry, 2017, algorithm 1, <https://arxiv.org/abs/1705.08741>.
struct GhostBatches: Layer {
  let norm: any Layer
  let size: Int

  var parameters: [Parameter] { norm.parameters }
  var buffers: [Buffer] { norm.buffers }
  var counters: [Counter] { norm.counters }

  /// The samples of each ghost batch of `count` samples.
  static func ranges(of count: Int, size: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let shape = x.value.shape
    guard tape.mode == .training, shape[0] > size else { return try norm(x, on: tape) }
    let ranges = Self.ranges(of: shape[0], size: size)
    let y = Tensor.uninitialized(shape, x.value.precision)
    let gradients = Parts()
    // This entry comes before the ghosts', so that it flows back after theirs.
    let whole = tape.record(
      x.value, inputPullback: { [gradient = x.gradient] dx, _ in gradient?.add(dx) })
    let outputs = try ranges.map { range in
      let ghost = tape.record(
        whole.value.samples(range),
        inputPullback: { [gradient = whole.gradient] dx, _ in
          let all = gradients.tensor ?? .uninitialized(shape, dx.precision)
          if gradients.tensor == nil {
            gradients.tensor = all
            gradient?.add(all)
          }
          all.samples(range).write(dx)
        })
      let output = try norm(ghost, on: tape)
      y.samples(range).write(output.value)
      return output.gradient
    }
    return tape.record(
      y,
      inputPullback: { dy, _ in
        for (range, gradient) in zip(ranges, outputs) {
          gradient?.add(dy.samples(range).copy())
        }
      })
  }

  /// The gradient of all samples, while those of the ghost batches come.
  private final class Parts {
    var tensor: Tensor?
  }
}

extension NormSetting where Value == Int {
  /// How many samples of a rank batch norm takes its statistics over; 0 for all of them.
  public static let ghostBatch = NormSetting("ghostBatch", default: 0, in: 0...1 << 20)
  /// In every which step sync-batch norm takes its statistics over all ranks; between them over this rank's samples.
  public static let every = NormSetting("every", default: 1, in: 1...1_000_000)
}

extension NormSettings {
  /// How many samples of a rank batch norm takes its statistics over; 0 for all of them.
  public var ghostBatch: Int {
    get { self[.ghostBatch] }
    set { self[.ghostBatch] = newValue }
  }

  /// In every which step sync-batch norm takes its statistics over all ranks.
  public var every: Int {
    get { self[.every] }
    set { self[.every] = newValue }
  }
}
