import LockstepAnalysis
import LockstepCheckpoints
import LockstepClaims
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepRuns
import LockstepTensors
import LockstepTraining
import Synchronization
import Testing

/// Every claim is an experiment that runs and decides something.
@Suite struct ClaimsTests {
  @Test(arguments: Claim.all.map(\.id)) func everyClaimRunsAtTheLeastBudget(id: String) throws {
    let claim = try #require(Claim.named(id))
    let finding = try claim.run(in: Laboratory(context: RankContext(Solo()), budget: 1e-6))
    #expect(!finding.figures.isEmpty && !finding.because.isEmpty)
    #expect(finding.figures.allSatisfy { !$0.value.median.isNaN })
    let names = finding.figures.map(\.name)
    #expect(Set(names).count == names.count, "two figures of one name")
  }

  @Test func everyClaimIsDeclaredWhole() {
    #expect(Set(Claim.all.map(\.id)).count == Claim.all.count)
    for claim in Claim.all {
      let texts = [claim.statement, claim.source, claim.method, claim.rule]
      #expect(texts.allSatisfy { !$0.isEmpty && !$0.contains("\n") }, "\(claim.id)")
    }
    #expect(Claim.all.reduce(0) { $0 + $1.minutes } <= 30)
  }

  @Test func aSignTestDecidesOnlyWhereAllRepeatsAgree() {
    #expect(Verdict(allPositive: [1, 2, 0.1]) == .holds)
    #expect(Verdict(allPositive: [1, 2, -0.1]) == .undecided)
    #expect(Verdict(allPositive: [-1, 0, -0.1]) == .fails)
    #expect(Verdict(allPositive: []) == .undecided)
    #expect(Verdict(allPositive: [0, 0]) == .undecided, "nothing was seen")
    #expect(Verdict(all: [.holds, .undecided]) == .undecided)
    #expect(Verdict(all: [.holds, .undecided, .fails]) == .fails)
  }

  /// Pairs that favour neither side, looked at as they double.
  @Test func allLooksOfASignTestErrInOneOfTwentyCases() {
    var random = RandomStream(seed: 5, site: .simulation)
    let trials = 2000
    let wrong = (0..<trials).count { _ in
      var differences: [Double] = []
      return (1...6).contains { look in
        while differences.count < 7 << (look - 1) {
          differences.append(random.below(2) == 0 ? -1 : 1)
        }
        return SequentialSignTest(look: look).verdict(differences) != .undecided
      }
    }
    #expect(Double(wrong) <= 0.05 * Double(trials) + 3 * (0.0475 * Double(trials)).squareRoot())
    #expect(wrong > 0, "a test that never errs decides nothing")
  }

  @Test func aSignTestDecidesWhatShowsInMostPairs() {
    let most = (0..<28).map { $0 % 7 == 0 ? -1.0 : 1 }
    #expect(SequentialSignTest(look: 1).verdict(Array(repeating: 1, count: 7)) == .holds)
    #expect(SequentialSignTest(look: 1).verdict(Array(repeating: 1, count: 6)) == .undecided)
    #expect(SequentialSignTest(look: 3).verdict(most) == .holds)
    #expect(SequentialSignTest(look: 3).verdict(most.map { -$0 }) == .fails)
    #expect(SequentialSignTest(look: 1).verdict([0, 0, 0, 0, 0, 0, 0, 0]) == .undecided)
    #expect(SequentialSignTest(look: 1).needed(of: 7) == 7)
    #expect(SequentialSignTest(look: 1).needed(of: 6) == nil)
  }

  @Test func aLookDoesNotRepeatTheRunsOfTheLooksBeforeIt() throws {
    let runs = Counter()
    let laboratory = Laboratory(context: try RankContext(Solo()))
    for (items, expected) in [(3, 3), (6, 6), (6, 6)] {
      laboratory.begin()
      let found = try laboratory.map(Array(0..<items)) { item in
        runs.add()
        return 10 * item
      }
      #expect(found == (0..<items).map { 10 * $0 })
      #expect(runs.count == expected)
    }
    // Another experiment of the look is another one.
    #expect(try laboratory.map([0]) { $0 + 1 } == [1])
  }

  @Test(arguments: 1...4) func whatIsSharedOutComesBackInOrder(ranks: Int) throws {
    let seen = try withThreadRanks(ranks) { world in
      try Laboratory(context: RankContext(world)).map(Array(0..<7)) { $0 * $0 }
    }
    #expect(seen == Array(repeating: [0, 1, 4, 9, 16, 25, 36], count: ranks))
  }

  @Test func divergedRunsComeBackAsInfinite() throws {
    let seen = try withThreadRanks(2) { world in
      try Laboratory(context: RankContext(world)).map([1, 2]) {
        $0 == 1 ? Double.infinity : 0.5
      }
    }
    #expect(seen[1] == [.infinity, 0.5])
  }
}

/// Counts on all threads.
private final class Counter: Sendable {
  private let sum = Mutex(0)

  func add() { sum.withLock { $0 += 1 } }

  var count: Int { sum.withLock { $0 } }
}
