import LockstepTensors

/// Deals the samples of a data set out to steps and ranks.
///
/// An epoch is a seeded permutation that is cut into global batches. A batch is cut into contiguous
/// shares, whose sizes differ by at most one sample and which may be empty. Which samples a global
/// batch holds, and in which slots, does not depend on the number of ranks.
public struct ShardedSampler: Sendable {
  private let count: Int
  private let batch: Int
  private let seed: UInt64
  /// Batches in an epoch.
  public let stepsPerEpoch: Int

  /// A sampler of `count` samples in global batches of `batch`.
  ///
  /// `dropLast` leaves out a last batch smaller than the others.
  public init(count: Int, batch: Int, seed: UInt64, dropLast: Bool) {
    precondition(batch > 0 && count > 0)
    self.count = count
    self.batch = batch
    self.seed = seed
    stepsPerEpoch = dropLast ? count / batch : (count + batch - 1) / batch
  }

  /// The order of an epoch's samples.
  public func order(epoch: Int) -> [Int] {
    var random = RandomStream(seed: seed, site: .permutation, step: epoch)
    var order = Array(0..<count)
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, random.below(i + 1)) }
    return order
  }

  /// Where in an epoch's order a step's global batch lies.
  public func slots(step: Int) -> Range<Int> {
    precondition(step >= 0 && step < stepsPerEpoch)
    return step * batch..<min((step + 1) * batch, count)
  }

  /// The sizes of all global batches of an epoch.
  public var batchSizes: Set<Int> {
    stepsPerEpoch == 0 ? [] : Set([0, stepsPerEpoch - 1].map { slots(step: $0).count })
  }
}

/// The contiguous part `index` of `range` cut into `parts` parts.
public func share(_ index: Int, of parts: Int, in range: Range<Int>) -> Range<Int> {
  let from = range.lowerBound + index * range.count / parts
  return from..<range.lowerBound + (index + 1) * range.count / parts
}
