import LockstepAutograd
import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

/// Batch norms over fewer samples than a batch has, or over all ranks in some steps alone.
@Suite struct GhostBatchTests {
  private static let channels = 5

  private static func norm(
    _ kind: NormKind, ghost: Int = 0, every: Int = 1, over communicator: any Communicator = Solo()
  ) -> any Layer {
    var settings = NormSettings(kind)
    settings.ghostBatch = ghost
    settings.every = every
    let layer = makeNorm(
      NormSite("norm", channels: channels), settings,
      NormScope(synchronized: StatisticsScope(communicator, coversAllRanks: true)))
    randomize(layer)
    return layer
  }

  @Test(arguments: [(8, 4), (9, 4), (10, 3), (4, 4), (3, 8)])
  func eachGhostBatchIsNormalizedByItself(samples: Int, size: Int) throws {
    let x = random([samples, 2, Self.channels], mean: 1, seed: 1)
    let dy = random([samples, 2, Self.channels], seed: 2)
    let found = try Pass(Self.norm(.batch, ghost: size), x, dy)
    // One batch norm whose running statistics see the parts in order.
    let norm = Self.norm(.batch)
    let parts = try stride(from: 0, to: samples, by: size).map { start in
      let range = start..<min(start + size, samples)
      return try Pass(norm, x.samples(range).copy(), dy.samples(range).copy())
    }
    #expect(found.y == parts.flatMap(\.y))
    #expect(found.dx == parts.flatMap(\.dx))
    #expect(found.state == parts.last?.state)
    for name in ["weight", "bias"] {
      let sums = (0..<Self.channels).map { c in
        parts.reduce(Float(0)) { $0 + ($1.gradients[name]?[c] ?? 0) }
      }
      expectClose(found.gradients[name] ?? [], sums, tolerance: 1e-6, name)
    }
  }

  @Test func evaluationIsNotSplit() throws {
    let x = random([7, Self.channels], seed: 3)
    let (whole, ghosts) = (Self.norm(.batch), Self.norm(.batch, ghost: 2))
    let (expected, found) = (try evaluated(whole, x), try evaluated(ghosts, x))
    #expect(found.value.elements == expected.value.elements)
  }

  /// What one step gave on one rank, and the collectives that it took.
  private struct Step: Sendable {
    let y: [Float]
    let dx: [Float]
    let collectives: Int
    let state: [[Float]]
  }

  /// Takes `steps` steps of `norm` over `ranks`, each with its own part of the samples.
  private static func steps(
    _ norm: any Layer, _ count: Int, over ranks: any Communicator
  ) throws -> [Step] {
    try (0..<count).map { step in
      let share = 3 * ranks.rank..<3 * ranks.rank + 3
      let x = random([3 * ranks.size, channels], mean: 2, seed: UInt64(step))
      let dy = random([3 * ranks.size, channels], seed: UInt64(step) + 50)
      let before = ranks.traffic.collectives
      let tape = Tape(
        .training, origin: SampleOrigin(seed: 1, step: step, firstSlot: share.lowerBound))
      var flowed: Tensor?
      let input = tape.record(
        x.samples(share).copy(), inputPullback: { dx, _ in flowed = dx.copy() })
      let output = try norm(input, on: tape)
      for parameter in norm.parameters { parameter.clearGradient() }
      try tape.backward(from: output.gradient, seed: dy.samples(share).copy())
      return Step(
        y: output.value.elements, dx: try #require(flowed).elements,
        collectives: ranks.traffic.collectives - before,
        state: norm.buffers.map(\.value.elements))
    }
  }

  @Test(arguments: [1, 2, 3, 4])
  func statisticsAreSynchronizedInEveryKthStepAlone(every: Int) throws {
    let count = 12
    let found = try withThreadRanks(2) {
      try Self.steps(Self.norm(.syncBatch, every: every, over: $0), count, over: $0)
    }
    let always = try withThreadRanks(2) {
      try Self.steps(Self.norm(.syncBatch, over: $0), count, over: $0)
    }
    let never = try withThreadRanks(2) {
      try Self.steps(Self.norm(.batch), count, over: $0)
    }
    for rank in 0..<2 {
      #expect(
        found[rank].map(\.collectives) == (0..<count).map { $0 % every == 0 ? 2 : 0 })
      #expect(found[rank].reduce(0) { $0 + $1.collectives } == 2 * count / every)
      for step in 0..<count {
        let expected = step % every == 0 ? always[rank][step] : never[rank][step]
        // The shift is another, as the running mean is.
        expectClose(found[rank][step].y, expected.y, tolerance: 1e-5, "y of step \(step)")
        expectClose(found[rank][step].dx, expected.dx, tolerance: 1e-5, "dx of step \(step)")
        #expect(found[rank][step].state == found[0][step].state, "one running mean on all ranks")
      }
    }
    #expect(every == 1 || found[0][1].y != always[0][1].y, "between them ranks are on their own")
  }

  @Test func aProcessAloneKeepsRunningStatisticsToo() throws {
    let norm = Self.norm(.syncBatch, every: 4)
    let found = try Self.steps(norm, 5, over: Solo())
    #expect(found[0].state != [[Float]](repeating: Array(repeating: 0, count: 5), count: 2))
    #expect(found[1].state == found[0].state && found[4].state != found[3].state)
  }

  @Test func whatSynchronizesNowAndThenLeavesItsGradientsToTheBuckets() {
    #expect(Self.norm(.syncBatch).parameters.map(\.isSummedByLayer) == [true, true])
    #expect(Self.norm(.syncBatch, every: 2).parameters.map(\.isSummedByLayer) == [false, false])
  }

  @Test(arguments: [(NormKind.batch, 2), (.dynamicTanh, 0)])
  func whatIsOfThisRankAloneSendsNothing(kind: NormKind, ghost: Int) throws {
    let collectives = try withThreadRanks(2) { ranks in
      let norm = Self.norm(kind, ghost: ghost, over: ranks)
      return try Self.steps(norm, 3, over: ranks).map(\.collectives)
    }
    #expect(collectives.allSatisfy { $0 == [0, 0, 0] })
  }
}
