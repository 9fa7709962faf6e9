import LockstepAnalysis
import LockstepCollectives
import LockstepRecording
import Testing

/// What a step's time goes into.
@Suite struct EfficiencyTests {
  private func expectNear(
    _ a: Double, _ b: Double, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(abs(a - b) < 1e-9, "\(a), not \(b)", sourceLocation: sourceLocation)
  }

  /// One step of each rank: computing before each of some blocking collectives and after the last, in
  /// milliseconds; each takes `transfer` after its last rank has come.
  private func records(_ ranks: [[Double]], transfer: Double) -> [RankRecord] {
    let site = EventName("bn1")
    var clocks = ranks.map { _ in 1.0 }
    var events = ranks.map { _ in [Event]() }
    func at(_ milliseconds: Double) -> Int64 { Int64((milliseconds * 1e6).rounded()) }
    for place in 0..<ranks[0].count - 1 {
      for rank in ranks.indices { clocks[rank] += ranks[rank][place] }
      let end = (clocks.max() ?? 0) + transfer
      for rank in ranks.indices {
        let (issue, over) = (at(clocks[rank]), at(end))
        events[rank].append(
          Event(
            [
              0, 1, 0, Int64(site.number), 1, Int64(place + 1), 10, 80, issue, over, over, over, 0,
            ][...], texts: EventName.texts))
        clocks[rank] = end
      }
    }
    return ranks.indices.map { rank in
      clocks[rank] += ranks[rank].last ?? 0
      events[rank].append(
        Event(
          [
            2, 0, 0, 0, 0, 1, 0, 0, at(1), at(clocks[rank]), at(clocks[rank]), at(clocks[rank]), 0,
          ][...], texts: []))
      return RankRecord(events[rank], clock: .none, groups: [0, 0])
    }
  }

  @Test func ranksThatTakeTurnsInBeingLateLoseToSerialization() throws {
    let efficiency = try #require(
      Efficiency(RecordedSteps(records([[2, 4, 1], [4, 2, 1]], transfer: 0))))
    expectNear(efficiency.loadBalance, 1)
    expectNear(efficiency.serialization, 7.0 / 9)
    expectNear(efficiency.transfer, 1)
    expectNear(efficiency.parallel, 7.0 / 9)
    expectNear(efficiency.sites[0].waitingMilliseconds, 2)
  }

  @Test func aRankThatIsAlwaysLateIsLoadImbalance() throws {
    let efficiency = try #require(
      Efficiency(RecordedSteps(records([[2, 2, 1], [4, 4, 1]], transfer: 0.5))))
    expectNear(efficiency.loadBalance, 7.0 / 9)
    expectNear(efficiency.serialization, 1)
    expectNear(efficiency.transfer, 0.9)
    expectNear(
      efficiency.parallel,
      efficiency.loadBalance * efficiency.serialization * efficiency.transfer)
  }

  @Test func oneRankLosesNothing() throws {
    let efficiency = try #require(
      Efficiency(RecordedSteps(records([[2, 2, 1]], transfer: 0))))
    expectNear(efficiency.parallel, 1)
    #expect(Efficiency(RecordedSteps([])) == nil)
  }

  @Test func theDifferenceOfPartsIsTheDifferenceOfSteps() throws {
    let (slow, fast) = (HandMade.records(late: 2), HandMade.records(late: 0.5))
    let parts = try [slow, fast].map {
      try #require(StepParts(RecordedSteps($0)))
    }
    let difference = parts[0].less(parts[1])
    expectNear(difference.statisticsSkewMilliseconds, (2 - 0.5) / 2)
    expectNear(difference.stepMilliseconds, parts[0].stepMilliseconds - parts[1].stepMilliseconds)
    let mean = try #require(StepParts(meanOf: parts))
    expectNear(mean.stepMilliseconds, (parts[0].stepMilliseconds + parts[1].stepMilliseconds) / 2)
    #expect(StepParts(meanOf: []) == nil)
  }
}
