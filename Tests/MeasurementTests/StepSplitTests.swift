import LockstepAnalysis
import LockstepCollectives
import LockstepRecording
import Testing

/// The arithmetic of where a step went, on events made by hand.
@Suite struct StepSplitTests {
  private func records(late: Double, offset: Double = 0) -> [RankRecord] {
    HandMade.records(late: late, offset: offset)
  }

  private func expectNear(
    _ a: Double, _ b: Double, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(abs(a - b) < 1e-9, "\(a), not \(b)", sourceLocation: sourceLocation)
  }

  @Test(arguments: [0, -3.5, 40]) func aLateRankIsTheOthersSkewWhateverTheirClocks(offset: Double) {
    let split = StepSplit(records(late: 2, offset: offset))
    #expect(split.steps == 1 && split.sites.count == 1)
    let site = split.sites[0]
    #expect(site.name == "layer1.bn1" && site.pass == "forward")
    expectNear(site.skewByRankMilliseconds[0].median, 2)
    expectNear(site.skewByRankMilliseconds[1].median, 0)
    expectNear(site.transferMilliseconds.median, 0.5)
    expectNear(site.exposedMilliseconds.median, 1.5)
    expectNear(site.inFlightMilliseconds.median, 0)
    #expect(site.last == [0, 1] && site.collectives == 1 && site.bytes == 40)
    expectNear(split.clockBoundMicroseconds, 3)
  }

  @Test(arguments: [2.0, -1.5]) func latenessIsSignedAndOfEveryStep(late: Double) {
    let purpose = Purpose.statistics(EventName("layer1.bn1"), .forward)
    let found = records(late: late, offset: 7).lateness(of: 1, at: purpose)
    #expect(found.count == 1)
    expectNear((found.first ?? 0) / 1e6, late)
    #expect(records(late: late).lateness(of: 1, at: .gradients(bucket: 0)) == [0])
  }

  @Test func thePartsOfAStepAddUpToIt() {
    let split = StepSplit(records(late: 2))
    for (rank, blocked) in zip(split.ranks, [2.5, 0.5]) {
      expectNear(rank.stepMilliseconds.median, 10)
      expectNear(rank.computeMilliseconds.median, 9.9 - blocked)
      expectNear(rank.statisticsSkewMilliseconds.median, blocked - 0.5)
      expectNear(rank.statisticsTransferMilliseconds.median, 0.5)
      expectNear(rank.otherMilliseconds.median, 0.1)
      expectNear(rank.unaccounted, 0.01)
    }
    #expect(split.layers.map(\.name) == ["layer1.bn1"])
    expectNear(split.layers[0].computeMilliseconds.median, (7.4 + 9.4) / 2)
  }

  @Test func timesOfACollectiveAreOfTheStepsThatHaveIt() throws {
    let one = HandMade.records(late: 2)
    let seldom = HandMade.records(late: 2, laterSteps: 3)
    let split = StepSplit(seldom)
    #expect(split.steps == 4 && split.sites[0].collectives == 0.25 && split.sites[0].bytes == 10)
    expectNear(split.sites[0].exposedMilliseconds.median, 1.5)
    expectNear(split.sites[0].skewByRankMilliseconds[0].median, 2)
    #expect(split.mixedStepsText?.hasPrefix("only every k-th step") == true)
    #expect(StepSplit(one).mixedStepsText == nil)
  }

  @Test func noStepsSplitIntoNothing() {
    #expect(StepSplit([]).sites.isEmpty && StepSplit([]).ranks.isEmpty)
  }

  /// Issued at 0, the call came back at 1, the rank computed till 6 and waited till 8; the last rank
  /// came at `last`.
  @Test(
    arguments: [
      (0.0, 0.0, 8.0, 0.0, 3.0), (4, 4, 4, 1, 2), (7, 7, 1, 2, 1), (9, 8, 0, 3, 0),
      (-1, 0, 8, 0, 3),
    ])
  func whatIsInFlightIsWhatWasComputedMeanwhile(
    last: Double, skew: Double, transfer: Double, exposedSkew: Double, exposedTransfer: Double
  ) {
    let times: [Int64] = [0, 1, 6, 8].map { 1_000_000 * ($0 + 5) }
    let event = Event(([0, 2, 1, 0, 1, 1, 5, 20] + times + [0])[...], texts: [])
    let entry = RankRecord([event], clock: .none, groups: [0, 0]).entries[0]
    let split = CollectiveSplit(entry, lastArrival: (last + 5) * 1e6)
    expectNear(split.skew / 1e6, skew)
    expectNear(split.transfer / 1e6, transfer)
    expectNear(split.exposedSkew / 1e6, exposedSkew)
    expectNear(split.exposedTransfer / 1e6, exposedTransfer)
    expectNear(split.inFlight / 1e6, 5)
  }

  @Test func testsThatLetACollectiveProgressAreExposedAndWhatIsOverBeforeItsWaitIsNot() {
    let times: [Int64] = [0, 1, 6, 4].map { 1_000_000 * ($0 + 5) }
    let event = Event(([0, 2, 1, 0, 1, 1, 5, 20] + times + [500_000])[...], texts: [])
    let entry = RankRecord([event], clock: .none, groups: [0, 0]).entries[0]
    let split = CollectiveSplit(entry, lastArrival: 7e6)
    expectNear(split.skew / 1e6, 2)
    expectNear(split.transfer / 1e6, 2)
    expectNear(split.exposedSkew / 1e6, 1)
    expectNear(split.exposedTransfer / 1e6, 0)
    expectNear(split.tested / 1e6, 0.5)
    expectNear(split.inFlight / 1e6, 2.5)
  }

  @Test func aDriftingClockIsFollowed() {
    let clock = ClockOffset(
      ClockOffset.Reading(time: 1e9, offset: 100, bound: 5),
      ClockOffset.Reading(time: 3e9, offset: 300, bound: 7))
    expectNear(clock.drift, 100)
    expectNear(clock.bound, 7)
    expectNear(clock.common(2_000_000_000), 2e9 - 200)
  }
}
