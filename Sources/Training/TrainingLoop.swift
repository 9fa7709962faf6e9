import Collectives
import Datasets
import Norms

/// Trains a run from its first step to its last.
///
/// Collective. The callbacks are called on every rank; what they print is rank 0's business.
public func train(
  _ run: TrainingRun, ranks: Int, onStep: (StepResult) throws -> Void,
  onEvaluation: (Evaluation, _ step: Int) throws -> Void
) throws -> RunSummary {
  let start = monotonicNanoseconds()
  var steps: [StepResult] = []
  var evaluation: Evaluation?
  while run.stepsTaken < run.totalSteps {
    let result = try run.step()
    steps.append(result)
    try onStep(result)
    if run.isEvaluationDue {
      let figures = try run.evaluate()
      try onEvaluation(figures, run.stepsTaken)
      evaluation = figures
    }
  }
  try run.verifyReplicas()
  guard let evaluation else { preconditionFailure("a run without a step") }
  return RunSummary(
    run, ranks: ranks, steps, seconds: Double(monotonicNanoseconds() - start) / 1e9, evaluation)
}
