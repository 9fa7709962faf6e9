public import LockstepAnalysis
import LockstepFiles
import LockstepRecording
public import LockstepTraining

extension TrainingRun {
  /// The steps of a turn that count in a comparison: all of a whole batch but the first, whose memory is
  /// cold, and but those that try whether overlap pays.
  package func counted(_ turn: some Collection<StepResult>) -> [StepResult] {
    turn.dropFirst().filter(counts)
  }

  /// Whether a step that is not a turn's first counts.
  package func counts(_ step: StepResult) -> Bool {
    step.samples == wholeBatch && !step.isOverlapTrial
  }
}

extension PairedSteps {
  /// The steps of runs that one comparison took in turn, as their metrics have them; nil where there are fewer
  /// than two, or they were not taken in turn.
  public init?(_ runs: [[StepResult]]) {
    let rounds = runs.map {
      Dictionary(grouping: $0.filter { $0.round != nil }, by: { $0.round ?? 0 })
    }
    guard rounds.count(where: { !$0.isEmpty }) > 1 else { return nil }
    self.init(variants: runs.count)
    for round in Set(rounds.flatMap(\.keys)).sorted() {
      for (i, steps) in rounds.enumerated() {
        append(
          (steps[round] ?? []).map {
            Step(milliseconds: $0.milliseconds, disturbance: $0.disturbance)
          }, of: i)
      }
    }
  }

  /// Adds a variant's next turn: the steps that count.
  package mutating func append(_ counted: [StepResult], of variant: Int) {
    append(
      counted.map {
        Step(milliseconds: $0.milliseconds, disturbance: $0.disturbance)
      }, of: variant)
  }
}
