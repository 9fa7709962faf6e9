import LockstepAnalysis
import LockstepCollectives
import LockstepRecording
import LockstepTensors
import Testing

/// How variants are compared.
@Suite struct PairedStepsTests {
  private static let preempted = StepDisturbance([.preempted], rank: 1)

  private func step(_ milliseconds: Double, _ disturbance: StepDisturbance = .none)
    -> PairedSteps.Step
  {
    PairedSteps.Step(milliseconds: milliseconds, disturbance: disturbance)
  }

  @Test func theOrderOfARoundIsDrawnAnewAndIsTheSameOnAllRanks() {
    let orders = (0..<60).map { Interleaving(variants: 4, seed: 3).order(of: $0) }
    #expect(orders.allSatisfy { $0.sorted() == [0, 1, 2, 3] })
    #expect(orders == (0..<60).map { Interleaving(variants: 4, seed: 3).order(of: $0) })
    #expect(orders != (0..<60).map { Interleaving(variants: 4, seed: 4).order(of: $0) })
    for variant in 0..<4 {
      #expect(Set(orders.map { $0.firstIndex(of: variant) }).count == 4, "every place is taken")
    }
  }

  @Test(arguments: [(5, 1, false), (6, 1, true), (7, 4, false), (8, 4, true)])
  func aVerdictNeedsAsManyRoundsAsItsIntervalDoes(rounds: Int, comparisons: Int, isDecided: Bool) {
    let ratios = (0..<rounds).map { 1.1 + 0.01 * Double($0) }
    let slower = PairedRatio(ratios, comparisons: comparisons)
    let faster = PairedRatio(ratios.map { 1 / $0 }, comparisons: comparisons)
    #expect(slower.verdict == (isDecided ? .slower : .undecided))
    #expect(faster.verdict == (isDecided ? .faster : .undecided))
    #expect(slower.rounds == rounds)
  }

  @Test func whyNoRatioDecidesIsSaid() throws {
    func doubt(_ ratios: [PairedRatio]) -> String? {
      PairedRatio.doubt(ratios, comparisons: ratios.count)
    }
    let (few, many) = (Array(repeating: 1.1, count: 5), Array(repeating: 1.1, count: 20))
    let untrusted = PairedRatio(many, comparisons: 1, trusted: false)
    #expect(try #require(doubt([untrusted])).contains("disturbed steps"))
    #expect(try #require(doubt([PairedRatio(few, comparisons: 1)])).contains("5 undisturbed round"))
    #expect(doubt([untrusted, PairedRatio(many, comparisons: 2)]) == nil)
    #expect(doubt([.none]) == nil, "there is no ratio to doubt")
    #expect(doubt([]) == nil)
  }

  @Test func anIntervalAroundOneDecidesNothing() {
    let ratios = (0..<40).map { $0 % 2 == 0 ? 0.9 : 1.1 }
    #expect(PairedRatio(ratios, comparisons: 1).verdict == .undecided)
  }

  /// Ratios whose true median is 1, skewed to the right as step times are.
  @Test func allVerdictsOfAComparisonHoldAtOnceInNineteenOfTwentyCases() {
    var random = RandomStream(seed: 11, site: .simulation)
    let (trials, comparisons) = (2000, 4)
    let wrong = (0..<trials).count { _ in
      (0..<comparisons).contains { _ in
        let ratios = (0..<24).map { _ in
          let z = Double(random.normal())
          return 1 + 0.02 * (z > 0 ? 5 * z : z)
        }
        return PairedRatio(ratios, comparisons: comparisons).verdict != .undecided
      }
    }
    // Three deviations of a binomial count above its mean.
    #expect(Double(wrong) <= 0.05 * Double(trials) + 3 * (0.0475 * Double(trials)).squareRoot())
    #expect(wrong > 0, "an interval that never errs is too wide to decide anything")
  }

  @Test func disturbedStepsAreLeftOutAndCounted() throws {
    var paired = PairedSteps(variants: 2)
    for _ in 0..<8 {
      paired.append([step(10), step(10), step(90, Self.preempted), step(10)], of: 0)
      paired.append([step(11), step(70, Self.preempted), step(11), step(11)], of: 1)
    }
    let ratio = try #require(paired.ratio(of: 1, to: 0, comparisons: 1))
    #expect(abs(ratio.ratio.median - 1.1) < 1e-12 && ratio.verdict == .slower)
    #expect(paired.milliseconds(of: 0).allSatisfy { $0 == 10 })
    #expect(paired.difference(of: 1, to: 0, comparisons: 1)?.median == 1)
    #expect(paired.leftOut.disturbed == 16 && paired.leftOut.steps == 64)
    #expect(paired.leftOut.share == 0.25)
    #expect(
      paired.leftOut.text == "16 of 64 steps left out: another process took a core (rank 1)")
  }

  @Test func whereEveryStepIsDisturbedNothingIsDecided() throws {
    var paired = PairedSteps(variants: 2)
    for _ in 0..<20 {
      paired.append([step(10, Self.preempted)], of: 0)
      paired.append([step(20, Self.preempted)], of: 1)
    }
    let ratio = try #require(paired.ratio(of: 1, to: 0, comparisons: 1))
    #expect(ratio.ratio.median == 2 && ratio.verdict == .undecided && ratio.rounds == 0)
    #expect(paired.difference(of: 1, to: 0, comparisons: 1) == nil)
    #expect(paired.leftOut.share == 1)
    #expect(paired.leftOut.text?.hasPrefix("all 40 steps were disturbed") == true)
  }

  @Test func stolenTimeCountsAgainstTheWholeTurn() {
    var paired = PairedSteps(variants: 1)
    paired.append([step(10), step(10, StepDisturbance([.stolen], rank: 0)), step(10)], of: 0)
    paired.append([step(12), step(12)], of: 0)
    #expect(paired.milliseconds(of: 0) == [12, 12])
    #expect(paired.rounds(of: 0) == [nil, 12])
    #expect(paired.leftOut.stolen == 3)
  }

  @Test func aVariantThatEndedHasNoMoreRounds() {
    var paired = PairedSteps(variants: 2)
    for round in 0..<10 {
      paired.append([step(10), step(10)], of: 0)
      paired.append(round < 7 ? [step(9), step(9)] : [], of: 1)
    }
    let ratio = paired.ratio(of: 1, to: 0, comparisons: 1)
    #expect(ratio?.rounds == 7 && ratio?.verdict == .faster)
    #expect(PairedSteps(variants: 2).ratio(of: 1, to: 0, comparisons: 1) == nil)
  }
}
