import LockstepCollectives
public import LockstepDataParallel
import LockstepDatasets
import LockstepNorms
public import LockstepTraining

/// Trains a run from where it is to its last step.
///
/// Collective. The callbacks are called on every rank; what they print is rank 0's business. After a step
/// comes its evaluation, where one is due, and then a checkpoint, so that none is written of a network that
/// the step destroyed. A run that goes on from a checkpoint evaluates first where the checkpoint's step is
/// to be evaluated.
///
/// - Parameters:
///   - run: The run.
///   - ranks: The number of ranks.
///   - earlier: The steps taken before, where rank 0 knows them.
///   - requests: What this rank asks of all, asked once a step.
///   - onStep: Called after each step.
///   - onEvaluation: Called after each evaluation.
///   - onCheckpoint: Called where a checkpoint is due, or there was an evaluation; told which.
/// - Throws: what the run and the callbacks throw; ``TrainingFailure`` on all ranks if an evaluation's
///   loss is not finite.
/// - Returns: the summary, or nil if a rank asked for a stop; then a checkpoint was the last thing.
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
