import LockstepAutograd
import LockstepKernels
import LockstepNorms
import LockstepTensors

/// What the norms of a recurrent layer have to know of one of its passes.
struct StepPass {
  /// Whether batch statistics are taken, or running ones used.
  let mode: Mode
  /// How many steps there were before the first.
  let first: Int
  /// How many batches the running statistics have seen.
  let batches: Int64
  /// The order of rows.
  let order: TimeOrder
  /// Which samples of each step count; nil for all.
  let rows: [[Int]]?
}

/// The two orders of the rows of a batch of sequences, and the way between them.
struct TimeOrder {
  let samples: Int
  let steps: Int
  private let byTime: [Int]
  private let bySample: [Int]

  init(samples: Int, steps: Int) {
    (self.samples, self.steps) = (samples, steps)
    byTime = (0..<steps).flatMap { t in (0..<samples).map { $0 * steps + t } }
    bySample = (0..<samples).flatMap { n in (0..<steps).map { $0 * samples + n } }
  }

  /// `[N, T, C]` as `[T, N, C]`, in memory of its own.
  func timeFirst(_ x: Tensor) -> Tensor {
    Kernel.gatherRows(x, byTime).reshaped([steps, samples, x.shape.channels])
  }

  /// `[T, N, C]` as `[N, T, C]`, in memory of its own.
  func samplesFirst(_ x: Tensor) -> Tensor {
    Kernel.gatherRows(x, bySample).reshaped([samples, steps, x.shape.channels])
  }
}

/// A sum of rows over steps, in float64.
struct StepSums {
  private(set) var sums: [Double]

  init(_ channels: Int) { sums = [Double](repeating: 0, count: channels) }

  /// Adds a row, or nothing where it is empty.
  mutating func add(_ row: ArraySlice<Double>) {
    for (c, value) in row.enumerated() { sums[c] += value }
  }
}

/// A norm during one pass of a recurrent layer: what its steps need on their way back, and the sums of the
/// gradients of gain and shift.
final class StepNormPass {
  private let norm: any StepNorm
  private let pass: StepPass
  private var pullbacks: [Int: StepPullback] = [:]
  private var gain: StepSums
  private var shift: StepSums

  init(_ norm: any StepNorm, _ pass: StepPass) {
    (self.norm, self.pass) = (norm, pass)
    (gain, shift) = (StepSums(norm.site.channels), StepSums(norm.site.channels))
  }

  /// The norm of a step's rows.
  func callAsFunction(_ x: Tensor, adding addend: Tensor? = nil, step: Int) throws -> Tensor {
    keep(try norm.forward(x, adding: addend, step: step, of: pass), step)
  }

  /// The norms of all steps' rows.
  func callAsFunction(_ x: Tensor) throws -> Tensor { keep(try norm.forward(x, of: pass), 0) }

  private func keep(_ found: (y: Tensor, pullback: StepPullback), _ step: Int) -> Tensor {
    if pass.mode == .training { pullbacks[step] = found.pullback }
    return found.y
  }

  /// dx of the dy of a step, or of all steps together.
  func gradient(_ dy: Tensor, step: Int = 0, _ backward: Backward) throws -> Tensor {
    guard let pullback = pullbacks.removeValue(forKey: step) else {
      preconditionFailure("step \(step) has no forward pass")
    }
    let found = try pullback(dy, backward)
    gain.add(found.gain)
    shift.add(found.shift)
    return found.dx
  }

  /// Contributes the sums.
  func contribute() {
    norm.affine.gain?.contribute(gain.sums[...])
    norm.affine.bias?.contribute(shift.sums[...])
  }
}
