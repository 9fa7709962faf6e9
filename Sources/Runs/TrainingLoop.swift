import LockstepCollectives
public import LockstepDataParallel
import LockstepDatasets
import LockstepNorms
public import LockstepTraining

/// Trains a run from where it is to its last step.
///
/// Collective. The callbacks are called on every rank, and have to print on rank 0 only. If an evaluation is
/// due after a step, it comes before the checkpoint: a network that the step destroyed is never saved. A run
/// that is resumed evaluates first if the checkpoint's step is to be evaluated.
///
/// - Parameters:
///   - run: The run.
///   - ranks: The number of ranks.
///   - earlier: The steps taken before, as far as this rank knows them; rank 0 does.
///   - requests: Returns what this rank asks of all ranks; called once in each step.
///   - onStep: Called after each step.
///   - onEvaluation: Called after each evaluation.
///   - onCheckpoint: Called if a checkpoint is due or there was an evaluation; its arguments say which.
/// - Throws: What the run and the callbacks throw; ``TrainingFailure`` on all ranks if an evaluation's
///   loss is not finite.
/// - Returns: The summary; nil if a rank asked for a stop, which ends the loop with a checkpoint.
public func train(
  _ run: TrainingRun, ranks: Int, after earlier: RunTally = RunTally(),
  asking requests: () -> StepRequests = { StepRequests() },
  onStep: (StepResult) throws -> Void,
  onEvaluation: (Evaluation, _ step: Int) throws -> Void,
  onCheckpoint: (_ isDue: Bool, Evaluation?) throws -> Void = { _, _ in }
) throws -> RunSummary? {
  let start = monotonicNanoseconds()
  var tally = earlier
  var last: Evaluation?
  func evaluate() throws -> Evaluation? {
    guard run.isEvaluationDue else { return nil }
    let figures = try run.evaluate()
    try figures.check(after: run.stepsTaken)
    try onEvaluation(figures, run.stepsTaken)
    last = figures
    return figures
  }
  _ = try evaluate()
  while run.stepsTaken < run.totalSteps {
    let result = try run.step(asking: requests)
    tally.append(result)
    try onStep(result)
    let isLast = run.stepsTaken == run.totalSteps
    let stops = result.requests.stop && !isLast
    if isLast { try run.verifyReplicas() }
    let figures = stops ? nil : try evaluate()
    let isDue = run.isCheckpointDue || result.requests.checkpoint || stops
    if isDue || figures != nil { try onCheckpoint(isDue, figures) }
    if stops { return nil }
  }
  guard let last else { preconditionFailure("a run without a step") }
  let seconds = Double(monotonicNanoseconds() - start) / 1e9
  return RunSummary(run, ranks: ranks, tally, seconds: earlier.seconds + seconds, last)
}
