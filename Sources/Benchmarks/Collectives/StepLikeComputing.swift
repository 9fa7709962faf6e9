import LockstepAnalysis
import LockstepCollectives
import LockstepKernels
import LockstepTensors

/// What a rank computes between two measured collectives: sums of numbers that do not fit into its nearer
/// caches.
///
/// A collective then finds the caches and its library's memory as it would within a step.
final class StepLikeComputing {
  /// Two arrays of this many floats take 4 MiB, more than a core's nearer caches hold.
  private static let elements = 1 << 19
  /// The elements between two looks at the clock.
  private static let piece = 1 << 12
  /// More than a piece takes, so that the last piece ends in time, in nanoseconds.
  private static let margin: UInt64 = 10_000

  private let values = Storage<Float>(count: elements, filledWith: 1)
  private let addends = Storage<Float>(count: elements, filledWith: 0)
  private var next = 0

  /// Computes until this rank's clock shows `deadline`.
  func run(until deadline: UInt64) {
    while monotonicNanoseconds() + Self.margin < deadline {
      let a = Tensor(values, offset: next, shape: [Self.piece])
      Kernel.add(a, Tensor(addends, offset: next, shape: [Self.piece]), into: a)
      next = (next + Self.piece) % Self.elements
    }
    while monotonicNanoseconds() < deadline {}
  }

  /// How fast this rank adds numbers up, in GB/s of addends.
  func reductionSpeed() -> Double {
    let (a, b) = (Tensor(values, shape: [Self.elements]), Tensor(addends, shape: [Self.elements]))
    let times = (0..<20).map { _ in
      let start = monotonicNanoseconds()
      Kernel.add(a, b, into: a)
      return Double(monotonicNanoseconds() - start)
    }
    return Double(Self.elements * MemoryLayout<Float>.stride) / MedianInterval(times).median
  }
}
