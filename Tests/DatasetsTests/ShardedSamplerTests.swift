import LockstepDatasets
import Testing

@Suite struct ShardedSamplerTests {
  @Test func everySampleComesOnceAnEpochInAnotherOrder() {
    let sampler = ShardedSampler(count: 101, batch: 10, seed: 1, dropLast: false)
    let epochs = (0..<3).map { sampler.order(epoch: $0) }
    for order in epochs { #expect(order.sorted() == Array(0..<101)) }
    #expect(epochs[0] != epochs[1] && epochs[1] != epochs[2])
    #expect(epochs[0] != Array(0..<101), "the samples are shuffled")
    let other = ShardedSampler(count: 101, batch: 10, seed: 2, dropLast: false)
    #expect(other.order(epoch: 0) != epochs[0], "by seed")
  }

  @Test func theOrderDoesNotDependOnTheBatch() {
    let small = ShardedSampler(count: 50, batch: 4, seed: 1, dropLast: true)
    let large = ShardedSampler(count: 50, batch: 25, seed: 1, dropLast: false)
    #expect(small.order(epoch: 2) == large.order(epoch: 2))
  }

  @Test(arguments: [(100, 10, 10, 10), (101, 10, 11, 10), (7, 10, 1, 0), (10, 1, 10, 10)])
  func stepsCoverTheEpochOrDropItsLastBatch(count: Int, batch: Int, all: Int, whole: Int) {
    let sampler = ShardedSampler(count: count, batch: batch, seed: 1, dropLast: false)
    #expect(sampler.stepsPerEpoch == all)
    #expect((0..<all).flatMap { Array(sampler.slots(step: $0)) } == Array(0..<count))
    let dropping = ShardedSampler(count: count, batch: batch, seed: 1, dropLast: true)
    #expect(dropping.stepsPerEpoch == whole)
    #expect((0..<whole).allSatisfy { dropping.slots(step: $0).count == batch })
  }

  @Test func theSizesOfBatchesAreThoseThatOccur() {
    func sizes(_ count: Int, dropLast: Bool) -> Set<Int> {
      ShardedSampler(count: count, batch: 10, seed: 1, dropLast: dropLast).batchSizes
    }
    #expect(sizes(25, dropLast: false) == [10, 5] && sizes(25, dropLast: true) == [10])
    #expect(sizes(20, dropLast: false) == [10] && sizes(4, dropLast: false) == [4])
    #expect(sizes(4, dropLast: true).isEmpty)
  }

  @Test(arguments: [0, 1, 2, 3, 10, 128], [1, 2, 3, 4, 7])
  func sharesPartitionABatchAndDifferByOneAtMost(count: Int, ranks: Int) {
    let batch = 40..<40 + count
    let shares = (0..<ranks).map { share($0, of: ranks, in: batch) }
    #expect(shares.flatMap(Array.init) == Array(batch), "contiguous, in rank order")
    let counts = shares.map(\.count)
    #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "\(counts)")
  }
}
