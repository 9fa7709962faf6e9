import LockstepAutograd
import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

/// Batch norm over the ranks of a communicator.
@Suite struct BatchStatisticsTests {
  private static let channels = 5

  private static func norm(
    over communicator: any Communicator, all: Bool = true, momentum: Double? = 0.1
  ) -> any Layer {
    var settings = NormSettings(.syncBatch)
    settings.momentum = momentum
    let layer = makeNorm(
      NormSite("norm", channels: channels), settings,
      NormScope(synchronized: StatisticsScope(communicator, coversAllRanks: all)))
    randomize(layer)
    return layer
  }

  /// Two steps over ranks that hold `counts` rows each, and over one that holds them all.
  @Test(
    arguments: [[6, 6], [1, 11], [12, 0], [0, 5, 7], [3, 4, 5], [1, 0, 0, 1]], [Float(0), 1e4])
  func ranksComputeWhatOneRankComputesOnTheWholeBatch(counts: [Int], mean: Float) throws {
    let rows = counts.reduce(0, +)
    let steps = (0..<2).map { step in
      (
        x: random([rows, Self.channels], mean: mean, seed: UInt64(step)),
        dy: random([rows, Self.channels], seed: UInt64(step) + 10)
      )
    }
    let alone = Self.norm(over: Solo())
    let whole = try steps.map { try Pass(alone, $0.x, $0.dy) }
    let ranks = try withThreadRanks(counts.count) { ranks in
      let norm = Self.norm(over: ranks)
      let start = counts[..<ranks.rank].reduce(0, +)
      let share = start..<start + counts[ranks.rank]
      return try steps.map { try Pass(norm, $0.x.samples(share), $0.dy.samples(share)) }
    }
    let tolerance = mean == 0 ? 1e-5 : 2e-4
    for step in steps.indices {
      expectClose(
        ranks.flatMap { $0[step].y }, whole[step].y, tolerance: tolerance, "y of step \(step)")
      expectClose(
        ranks.flatMap { $0[step].dx }, whole[step].dx, tolerance: tolerance, "dx of step \(step)")
      for (rank, passes) in ranks.enumerated() {
        for name in ["weight", "bias"] {
          expectClose(
            passes[step].gradients[name] ?? [], whole[step].gradients[name] ?? [],
            tolerance: tolerance, "\(name)'s gradient of step \(step) on rank \(rank)")
        }
        #expect(passes[step].state == ranks[0][step].state, "the same bits on every rank")
        for (found, expected) in zip(passes[step].state, whole[step].state) {
          expectClose(found, expected, tolerance: 1e-6, "running statistics of step \(step)")
        }
      }
    }
  }

  @Test func oneCollectiveGoesEachWayAndNoneInEvaluation() throws {
    let counts = try withThreadRanks(2) { ranks in
      let norm = Self.norm(over: ranks)
      let x = random([3 + ranks.rank, Self.channels], seed: 1)
      var forward = Traffic()
      _ = try Pass(norm, x, x) { forward = ranks.traffic }
      let backward = ranks.traffic - forward
      let before = ranks.traffic
      _ = try evaluated(norm, x)
      let evaluation = ranks.traffic - before
      return [forward, backward, evaluation].flatMap { [$0.collectives, $0.bytes] }
    }
    let c = Self.channels
    for (rank, count) in counts.enumerated() {
      #expect(count == [1, 8 * (2 * c + 1), 1, 8 * 2 * c, 0, 0], "rank \(rank)")
    }
  }

  @Test func statisticsOfAGroupKeepToTheGroup() throws {
    let x = random([12, Self.channels], seed: 1)
    let dy = random([12, Self.channels], seed: 2)
    let passes = try withThreadRanks(4) { ranks in
      let group = try ranks.split(color: ranks.rank / 2, key: ranks.rank)
      let share = 3 * ranks.rank..<3 * ranks.rank + 3
      return try Pass(Self.norm(over: group, all: false), x.samples(share), dy.samples(share))
    }
    for half in 0..<2 {
      let rows = 6 * half..<6 * half + 6
      let alone = try Pass(Self.norm(over: Solo(), all: false), x.samples(rows), dy.samples(rows))
      let pair = passes[2 * half...2 * half + 1]
      expectClose(pair.flatMap(\.y), alone.y, tolerance: 1e-5, "y of group \(half)")
      expectClose(pair.flatMap(\.dx), alone.dx, tolerance: 1e-5, "dx of group \(half)")
      for pass in pair {
        for (found, expected) in zip(pass.state, alone.state) {
          expectClose(found, expected, tolerance: 1e-6, "running statistics of group \(half)")
        }
      }
      // The parameters' gradients are this rank's own: the buckets sum them.
      for name in ["weight", "bias"] {
        let sum = pair.map { $0.gradients[name] ?? [] }.reduce(alone.gradients[name] ?? []) {
          zip($0, $1).map { $0 - $1 }
        }
        expectClose(sum, sum.map { _ in Float(0) }, tolerance: 1e-5, "\(name) of group \(half)")
      }
    }
  }

  @Test func parametersOverAllRanksAreSummedByTheLayer() {
    for all in [true, false] {
      let norm = Self.norm(over: Solo(), all: all)
      #expect(norm.parameters.count == 2)
      #expect(norm.parameters.allSatisfy { $0.isSummedByLayer == all }, "over all ranks: \(all)")
    }
    let perRank = makeNorm(
      NormSite("norm", channels: 3), NormSettings(.batch),
      NormScope(synchronized: StatisticsScope(Solo(), coversAllRanks: true)))
    #expect(perRank.parameters.allSatisfy { !$0.isSummedByLayer }, "per-rank batch norm")
  }
}
