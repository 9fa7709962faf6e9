public import LockstepAutograd
import LockstepTensors

/// A batch norm's running mean and variance, under PyTorch's names.
///
///     running ← (1 − m) · running + m · batch
///
/// with m the momentum, or 1 / batches for the cumulative average; the variance is the unbiased
/// one. Both are float32, as in PyTorch; a variance above the largest float32, of a deviation above 10¹⁹, is
/// that number.
public final class RunningStatistics {
  /// `running_mean` `[C]`, from 0.
  public let mean: Buffer
  /// `running_var` `[C]`, from 1.
  public let variance: Buffer
  /// `num_batches_tracked`.
  public let batches: Counter

  /// Statistics before the first batch.
  public init(_ name: String, channels: Int) {
    mean = Buffer("\(name).running_mean", .zeros([channels]))
    variance = Buffer("\(name).running_var", .filled([channels], with: 1))
    batches = Counter("\(name).num_batches_tracked")
  }

  /// The statistics of `step` of `steps`, which lie one after the other in these; they share the memory, but
  /// not the count.
  public func part(_ step: Int, of steps: Int) -> RunningStatistics {
    let shape: Shape = [mean.value.count / steps]
    return RunningStatistics(
      Buffer(mean.name, mean.value.part(step, shape: shape)),
      Buffer(variance.name, variance.value.part(step, shape: shape)), Counter(batches.name))
  }

  private init(_ mean: Buffer, _ variance: Buffer, _ batches: Counter) {
    (self.mean, self.variance, self.batches) = (mean, variance, batches)
  }

  /// Takes in a batch's moments.
  ///
  /// A batch of one row has no unbiased variance, and one of none no moments: they leave the
  /// statistics as they are.
  public func update(_ moments: BatchNorm.Moments, momentum: Double?) {
    guard moments.count > 1 else { return }
    batches.value += 1
    let weight = momentum ?? 1 / Double(batches.value)
    let unbiased = moments.count / (moments.count - 1)
    Self.blend(moments.means, into: mean, weight: weight)
    Self.blend(moments.variances.map { $0 * unbiased }, into: variance, weight: weight)
  }

  /// Moves a buffer towards new values by `weight`.
  static func blend(_ values: [Double], into buffer: Buffer, weight: Double) {
    let largest = Double(Float.greatestFiniteMagnitude)
    buffer.value.write(
      zip(buffer.value.elements, values).map { old, new in
        let blended = (1 - weight) * Double(old) + weight * new
        // What is not finite stays so: then the network has diverged.
        return Float(blended.isFinite ? max(-largest, min(blended, largest)) : blended)
      })
  }
}
