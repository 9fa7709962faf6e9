import Collectives
import Datasets
import Norms

/// Trains a run from where it is to its last step.
///
/// Collective. The callbacks are called on every rank; what they print is rank 0's business. A
/// checkpoint is due before the evaluation of the same step, which may change running statistics: a
/// run that goes on from one evaluates first.
///
/// - Parameters:
///   - run: The run.
///   - ranks: The number of ranks.
///   - earlier: The steps taken before, where rank 0 knows them.
///   - onStep: Called after each step.
///   - onCheckpoint: Called when a checkpoint is due.
///   - onEvaluation: Called after each evaluation.
/// - Throws: what the run and the callbacks throw.
/// - Returns: the summary, or nil if a rank asked for a stop; then a checkpoint was the last thing.
public func train(
  _ run: TrainingRun, ranks: Int, after earlier: RunTally = RunTally(),
  onStep: (StepResult) throws -> Void, onCheckpoint: () throws -> Void = {},
  onEvaluation: (Evaluation, _ step: Int) throws -> Void
) throws -> RunSummary? {
  let start = monotonicNanoseconds()
  var tally = earlier
  var last: Evaluation?
  func evaluate() throws {
    guard run.isEvaluationDue else { return }
    let figures = try run.evaluate()
    try onEvaluation(figures, run.stepsTaken)
    last = figures
  }
  try evaluate()
  while run.stepsTaken < run.totalSteps {
    let result = try run.step()
    tally.append(StepMetrics(result))
    try onStep(result)
    let isLast = run.stepsTaken == run.totalSteps
    let stops = result.requests.stop && !isLast
    if isLast { try run.verifyReplicas() }
    if run.isCheckpointDue || result.requests.checkpoint || stops { try onCheckpoint() }
    if stops { return nil }
    try evaluate()
  }
  guard let last else { preconditionFailure("a run without a step") }
  let seconds = Double(monotonicNanoseconds() - start) / 1e9
  return RunSummary(run, ranks: ranks, tally, seconds: earlier.seconds + seconds, last)
}
