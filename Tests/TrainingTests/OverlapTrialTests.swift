import LockstepAnalysis
import LockstepNorms
import LockstepTraining
import Testing

/// Whether a run computes weight gradients while statistics are in flight.
@Suite struct OverlapTrialTests {
  /// Takes steps of so many milliseconds without and with overlap; what ranks then know.
  private func decision(without: Double, with: Double, noise: Double = 0) -> OverlapTrial {
    let trial = OverlapTrial(.automatic, ranks: 2, synchronizes: true)
    let other = OverlapTrial(.automatic, ranks: 2, synchronizes: true)
    for step in 0..<OverlapTrial.steps {
      #expect(trial.next == other.next, "ranks do the same in every step")
      let vote = trial.vote
      trial.decide(vote)
      other.decide(vote)
      let jitter = noise * (step % 3 == 0 ? 1 : -0.5)
      trial.append((trial.next ? with : without) + jitter)
      // Another rank's clock says something else.
      other.append(1)
    }
    #expect(trial.overlaps != nil && trial.overlaps == other.overlaps)
    return trial
  }

  @Test func whatIsFasterIsDone() {
    #expect(decision(without: 10, with: 9).overlaps == true)
    #expect(decision(without: 10, with: 11).overlaps == false)
    #expect(decision(without: 10, with: 9).finding?.ratio.verdict == .faster)
  }

  @Test func whatIsNotClearlyFasterIsNotDone() {
    #expect(decision(without: 10, with: 10).overlaps == false)
    #expect(decision(without: 10, with: 9.9, noise: 3).overlaps == false)
  }

  @Test func disturbedStepsDecideNothing() {
    let trial = OverlapTrial(.automatic, ranks: 2, synchronizes: true)
    for _ in 0..<OverlapTrial.steps {
      trial.decide(trial.vote)
      trial.append(nil)
    }
    #expect(trial.overlaps == false && trial.finding == nil)
  }

  @Test(arguments: [
    (StatisticsOverlap.on, 2, true, true), (.off, 2, true, false), (.on, 1, true, true),
    (.automatic, 1, true, false), (.automatic, 2, false, false),
  ])
  func thereIsNothingToFindOutWhereItIsSaidOrNobodyWaits(
    mode: StatisticsOverlap, ranks: Int, synchronizes: Bool, overlaps: Bool
  ) {
    let trial = OverlapTrial(mode, ranks: ranks, synchronizes: synchronizes)
    #expect(trial.overlaps == overlaps && trial.next == overlaps)
  }
}
