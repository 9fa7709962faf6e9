import Foundation
import LockstepOptimizers
import Testing

@Suite struct LearningRateScheduleTests {
  private func expect(
    _ schedule: LearningRateSchedule, _ rates: [(step: Int, rate: Double)],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for (step, rate) in rates {
      let found = schedule.rate(at: step)
      #expect(
        abs(found - rate) < 1e-12, "step \(step): \(found), not \(rate)",
        sourceLocation: sourceLocation)
    }
  }

  @Test func warmUpClimbsFromOneStepsShareToTheBaseRate() {
    let schedule = LearningRateSchedule(
      base: 0.4, warmupSteps: 4, totalSteps: 10, decay: .constant)
    expect(schedule, [(0, 0.1), (1, 0.2), (3, 0.4), (4, 0.4), (9, 0.4), (1000, 0.4)])
  }

  @Test func withoutWarmUpTheFirstStepHasTheBaseRate() {
    for decay: LearningRateSchedule.Decay in [
      .constant, .cosine(final: 0), .linear(final: 0), .step(milestones: [5], factor: 0.1),
    ] {
      expect(
        LearningRateSchedule(base: 2, warmupSteps: 0, totalSteps: 10, decay: decay), [(0, 2)])
    }
  }

  @Test func stepsFallAtTheirMilestonesAndNotBefore() {
    let schedule = LearningRateSchedule(
      base: 1, warmupSteps: 0, totalSteps: 10, decay: .step(milestones: [3, 6], factor: 0.1))
    expect(schedule, [(2, 1), (3, 0.1), (5, 0.1), (6, 0.01), (9, 0.01)])
  }

  @Test func theCosineIsHalfwayInTheMiddleAndStaysAtItsEnd() {
    let schedule = LearningRateSchedule(
      base: 1, warmupSteps: 2, totalSteps: 10, decay: .cosine(final: 0.2))
    let quarter = 0.2 + 0.8 * (1 + 0.5.squareRoot()) / 2
    expect(schedule, [(1, 1), (2, 1), (4, quarter), (6, 0.6), (10, 0.2), (11, 0.2), (99, 0.2)])
  }

  @Test func theLineIsStraightAndStaysAtItsEnd() {
    let schedule = LearningRateSchedule(
      base: 1, warmupSteps: 0, totalSteps: 8, decay: .linear(final: 0.5))
    expect(schedule, [(0, 1), (2, 0.875), (4, 0.75), (8, 0.5), (20, 0.5)])
  }

  @Test func aRunThatIsAllWarmUpHasARateAtEveryStep() {
    let schedule = LearningRateSchedule(
      base: 1, warmupSteps: 5, totalSteps: 5, decay: .cosine(final: 0))
    expect(schedule, [(4, 1), (5, 1), (6, 0)])
  }
}
