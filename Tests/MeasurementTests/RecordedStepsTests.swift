import LockstepAnalysis
import LockstepCollectives
import LockstepRecording
import Testing

/// Steps one by one, and what is made of them.
@Suite struct RecordedStepsTests {
  private func expectNear(
    _ a: Double, _ b: Double, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(abs(a - b) < 1e-6, "\(a), not \(b)", sourceLocation: sourceLocation)
  }

  @Test func theLastRankIsKnownWhateverTheClocks() {
    let steps = RecordedSteps(HandMade.records(late: 2, offset: 40))
    #expect(steps.numbers == [1] && steps.parts[0].count == 2)
    let entries = steps.parts[0][0].entries
    // A collective within a segment comes after it.
    #expect(entries.map(\.kind) == [.segment, .collective])
    #expect(steps.lastArrival(entries[1]).rank == 1)
    expectNear(steps.lastArrival(entries[1]).time - entries[1].issue, 2e6)
  }

  @Test func thePartsOfStepsAddUp() throws {
    let steps = RecordedSteps(HandMade.records(late: 2))
    let parts = try #require(StepParts(steps))
    expectNear(parts.normMilliseconds, (7.4 + 9.4) / 2)
    expectNear(parts.statisticsSkewMilliseconds, 1)
    expectNear(parts.statisticsTransferMilliseconds, 0.5)
    expectNear(parts.otherMilliseconds, 0.1)
    expectNear(
      parts.computeMilliseconds + parts.optimizerMilliseconds + parts.gradientsMilliseconds, 0)
    expectNear(parts.stepMilliseconds, 10)
    #expect(StepParts(RecordedSteps([])) == nil)
  }

  @Test func theMedianStepIsOnOneClock() throws {
    let steps = RecordedSteps(HandMade.records(late: 2, offset: -7))
    let timeline = try #require(StepTimeline(median: steps))
    #expect(timeline.step == 1)
    expectNear(timeline.durationMicroseconds, 10_000)
    let collectives = timeline.ranks.map { $0.collectives[0] }
    expectNear(collectives[0].beginMicroseconds, 4000)
    for collective in collectives {
      expectNear(collective.lastArrivalMicroseconds, 6000)
      expectNear(collective.endMicroseconds, 6500)
    }
  }
}
