import Claims
import Collectives
import Measurement
import Testing
import Training

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
