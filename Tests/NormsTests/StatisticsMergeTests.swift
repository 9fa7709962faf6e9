import LockstepCollectives
import LockstepNorms
import LockstepTensors
import Testing

/// The ways in which ranks agree on a batch's moments.
@Suite struct StatisticsMergeTests {
  private static let channels = 5

  private struct Found: Sendable {
    var count: Double
    var means: [Double]
    var variances: [Double]
    var traffic: Traffic
  }

  /// The moments of `x`, cut into `counts` rows a rank, on every rank.
  private static func moments(
    _ merge: StatisticsMerge, _ x: Tensor, counts: [Int], shift: Float
  ) throws -> [Found] {
    try withThreadRanks(counts.count) { ranks in
      let start = counts[..<ranks.rank].reduce(0, +)
      let moments = try BatchNorm.moments(
        x.samples(start..<start + counts[ranks.rank]),
        shift: .filled([channels], with: shift), merge: merge, over: ranks)
      return Found(
        count: moments.count, means: moments.means, variances: moments.variances,
        traffic: ranks.traffic)
    }
  }

  @Test(arguments: [NormKind.batch, .batchRenorm])
  func aNormOverOneRankIsTheSameUnderEveryMerge(kind: NormKind) throws {
    let (x, dy) = (
      random([12, Self.channels], mean: 100, seed: 1), random([12, Self.channels], seed: 2)
    )
    let passes = try StatisticsMerge.allCases.map { merge in
      var settings = NormSettings(kind)
      settings.merge = merge
      return try Pass(makeNorm(NormSite("norm", channels: Self.channels), settings), x, dy)
    }
    for pass in passes {
      #expect(pass.y == passes[0].y && pass.dx == passes[0].dx && pass.state == passes[0].state)
    }
  }

  @Test(
    arguments: StatisticsMerge.allCases,
    [[6, 6], [1, 11], [12, 0], [0, 5, 7], [3, 4, 5], [1, 0, 0, 11]])
  func everyMergeFindsTheMomentsOfTheWholeBatch(merge: StatisticsMerge, counts: [Int]) throws {
    for (mean, shift) in [(Float(0), Float(0)), (100, 98), (1e4, 1e4)] {
      let x = random([12, Self.channels], mean: mean, seed: 1)
      let alone = try Self.moments(.twoPass, x, counts: [12], shift: mean)[0]
      let ranks = try Self.moments(merge, x, counts: counts, shift: shift)
      let tolerance = merge == .float32Moments ? 1e-4 : 1e-9
      for found in ranks {
        #expect(found.count == 12)
        for c in 0..<Self.channels {
          #expect(abs(found.means[c] - alone.means[c]) <= tolerance, "mean \(mean)")
          #expect(
            abs(found.variances[c] - alone.variances[c]) <= tolerance * 10, "mean \(mean)")
        }
        #expect(
          found.means == ranks[0].means && found.variances == ranks[0].variances,
          "the same bits on every rank")
      }
    }
  }

  @Test(arguments: StatisticsMerge.allCases)
  func aMergeSendsWhatItSays(merge: StatisticsMerge) throws {
    let x = random([4, Self.channels], seed: 1)
    for found in try Self.moments(merge, x, counts: [2, 2], shift: 0) {
      #expect(found.traffic.collectives == merge.collectives)
      #expect(found.traffic.bytes == merge.bytes(channels: Self.channels))
    }
  }

  @Test func anEmptyBatchHasNoMomentsButDoesNotDivideByIt() throws {
    for merge in StatisticsMerge.allCases {
      let empty = Tensor.zeros([0, Self.channels])
      for found in try Self.moments(merge, empty, counts: [0, 0], shift: 3) {
        #expect(found.count == 0 && found.variances == Array(repeating: 0, count: Self.channels))
        #expect(found.means.allSatisfy { $0.isFinite })
      }
    }
  }

  /// A mean far from K in deviations is what float32 sums cannot hold.
  @Test func float32SumsLoseWhatFloat64SumsHoldWhereTheShiftIsFarOff() throws {
    let x = random([4096, Self.channels], mean: 1000, seed: 1)
    let counts = [2048, 2048]
    let truth = try Self.moments(.twoPass, x, counts: counts, shift: 0)[0]
    func error(_ merge: StatisticsMerge) throws -> Double {
      let found = try Self.moments(merge, x, counts: counts, shift: 0)[0]
      return zip(found.variances, truth.variances).map { abs($0 / $1 - 1) }.max() ?? 1
    }
    #expect(try error(.float32Moments) > 1e-3)
    for merge in [StatisticsMerge.shiftedMoments, .welford, .allGather] {
      #expect(try error(merge) < 1e-6, "\(merge)")
    }
  }

  @Test func theMergeOfTwoTriplesDoesNotDependOnTheirOrder() {
    let a = MomentsTriple(count: 3, mean: 0.1, squares: 0.7)
    let b = MomentsTriple(count: 7, mean: -1.3, squares: 2.1)
    #expect(a.merged(with: b) == b.merged(with: a))
    let none = MomentsTriple(count: 0, mean: 0, squares: 0)
    #expect(none.merged(with: none) == none)
    #expect(a.merged(with: none).count == 3 && a.merged(with: none).squares == 0.7)
  }
}
