public import LockstepAnalysis
import LockstepFiles
import LockstepRecording
public import LockstepTraining

extension TrainingRun {
  /// The steps of a turn that count in a comparison: those with a whole batch.
  ///
  /// The first step does not count, since its memory is cold, and neither do those that try out overlap.
  package func counted(_ turn: some Collection<StepResult>) -> [StepResult] {
    turn.dropFirst().filter(counts)
  }

  /// Whether a step counts, if it is not the first of its turn.
  package func counts(_ step: StepResult) -> Bool {
    step.samples == wholeBatch && !step.isOverlapTrial
  }
}

extension PairedSteps {
  /// Pairs steps that one comparison took in turns, from the metrics of its runs.
  ///
  /// The result is nil if there are fewer than two runs, or they took no turns.
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

  /// Adds the steps that count of a variant's next turn.
  package mutating func append(_ counted: [StepResult], of variant: Int) {
    append(
      counted.map {
        Step(milliseconds: $0.milliseconds, disturbance: $0.disturbance)
      }, of: variant)
  }
}
