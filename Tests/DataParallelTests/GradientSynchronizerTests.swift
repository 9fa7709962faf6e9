import LockstepAutograd
import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import LockstepTensors
import Testing

@Suite struct GradientSynchronizerTests {
  private static func parameters(_ sizes: [Int], summedByLayer: Set<Int> = []) -> [Parameter] {
    sizes.enumerated().map {
      Parameter("p\($0)", .zeros([$1]), isSummedByLayer: summedByLayer.contains($0))
    }
  }

  @Test func bucketsFillInReverseOrderFirstASmallOne() {
    let parameters = Self.parameters([10, 20, 30, 40, 50])
    let buckets = BucketSettings(firstBytes: 4 * 60, bytes: 4 * 70).buckets(parameters)
    #expect(buckets.map { $0.map(\.name) } == [["p4"], ["p3", "p2"], ["p1", "p0"]])
  }

  @Test func aParameterLargerThanABucketHasOneToItself() {
    let buckets = BucketSettings(firstBytes: 4, bytes: 8).buckets(Self.parameters([2, 1, 100, 1]))
    #expect(buckets.map { $0.map(\.name) } == [["p3"], ["p2"], ["p1"], ["p0"]])
  }

  @Test func aParameterThatItsLayerSumsIsInNoBucket() {
    let buckets = BucketSettings().buckets(Self.parameters([1, 2, 3], summedByLayer: [1]))
    #expect(buckets.map { $0.map(\.name) } == [["p2", "p0"]])
  }

  /// Ranks whose gradients become ready in different orders, or never, get the same sums.
  @Test func sumsDoNotDependOnTheOrderOfReadiness() throws {
    let results = try withThreadRanks(3) { world -> [[Float]] in
      let parameters = Self.parameters([3, 5, 2, 4])
      let synchronizer = GradientSynchronizer(
        parameters, over: world, settings: BucketSettings(firstBytes: 8, bytes: 24))
      var sums: [[Float]] = []
      for window in 1...2 {
        synchronizer.beginWindow()
        var order = Array(parameters.indices)
        if world.rank == 1 { order.reverse() }
        if world.rank == 2 { order = [2, 0] }
        for index in order {
          parameters[index].contribute { gradient, _ in
            gradient.fill(with: Float(window * (world.rank + 1) * (index + 1)))
          }
          try synchronizer.gradientReady(parameters[index])
        }
        sums += try synchronizer.finishWindow().map(\.elements)
      }
      return sums
    }
    let expected: [[Float]] = [1, 2].flatMap { (window: Float) -> [[Float]] in
      [
        Array(repeating: 6 * window, count: 3), Array(repeating: 6 * window, count: 5),
        Array(repeating: 18 * window, count: 2), Array(repeating: 12 * window, count: 4),
      ]
    }
    for result in results { #expect(result == expected) }
  }
}

@Suite struct AgreementTests {
  @Test func anErrorOfOneRankIsThrownOnAllWithItsRank() throws {
    struct Broken: Error, CustomStringConvertible { var description: String { "disk gone" } }
    let messages = try withThreadRanks(3) { world -> String in
      do {
        try agreeing(over: world) { if world.rank == 2 { throw Broken() } }
        return "none"
      } catch {
        return "\(error)"
      }
    }
    #expect(messages == Array(repeating: "rank 2: disk gone", count: 3))
  }

  @Test func allRanksEndWithTheStatusOfTheErrorThatOneThrew() throws {
    struct Failed: ProgramError {
      var exitStatus: Int32 { ExitStatus.failed }
      var description: String { "disk full" }
    }
    let statuses = try withThreadRanks(3) { world -> Int32 in
      do {
        try agreeing(over: world) { if world.rank == 1 { throw Failed() } }
        return ExitStatus.done
      } catch let error as AgreedError {
        return error.exitStatus
      }
    }
    #expect(statuses == Array(repeating: ExitStatus.failed, count: 3))
  }

  @Test func ranksWithOtherParametersAreNamed() throws {
    let wrong = try withThreadRanks(4) { world -> [Int] in
      let parameter = Parameter("p", .filled([4], with: world.rank == 2 ? 1.000_000_1 : 1))
      do {
        try verifyReplicas([parameter], over: world)
        return []
      } catch let error as ReplicaError {
        return error.ranks
      }
    }
    #expect(wrong.allSatisfy { $0 == [2] })
  }
}
