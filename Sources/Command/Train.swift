import ArgumentParser
import LockstepAnalysis
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepNorms
import LockstepRuns
import LockstepTraining
import Logging

/// `lockstep train`.
struct Train: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a network and write a run directory.",
    discussion: """
      The directory holds config.yaml (resolved), metrics.jsonl (a line a step and an \
      evaluation), summary.json, checkpoints/ and events/ (each rank's last collectives and \
      computing, for report, trace and predict).

      Checkpoints are written while training goes on, every 600 seconds and at the end. The last 3 are \
      kept, and the one with the best evaluation, unless the configuration's section checkpoint says \
      otherwise: {everySteps | everyEpochs | everySeconds, keep, keepBest}. With --resume a run goes on from the newest one that is not damaged, bit by bit \
      if the number of ranks is the same.

      SIGTERM, SIGINT and SIGUSR1 end the run after its step, with a checkpoint, interrupted.json in the \
      run directory, and status 75. A second SIGINT ends it at once.
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var checks: CheckOptions

  @Option(
    help:
      "The run directory, new or empty unless resumed (default: runs/NAME-TIME, or the same with -2, -3 …)."
  )
  var runDir: String?

  @Flag(
    help: """
      Go on from the newest good checkpoint in --run-dir, or begin there if there is no run: one command \
      line serves the first start and all that follow. The configuration may differ in steps or epochs, \
      which may grow, evaluate, checkpoint, parallel.watchdogSeconds, where the same data lie (data.path), \
      and in what helps where a run diverges: optimizer.learningRate, schedule and clipNorm.
      """)
  var resume = false

  @Option(
    help: ArgumentHelp(
      """
      With --resume: go back to the checkpoint of this step; what the run did afterwards is removed. For one \
      start, since the next one would go back again.
      """, valueName: "step"))
  var from: Int?

  @Option(
    help: ArgumentHelp(
      """
      Begin with the parameters of a safetensors file under PyTorch's names, or of a checkpoint; a run that \
      is resumed has begun.
      """, valueName: "file"))
  var initFrom: String?

  @Flag(inversion: .prefixedNo, help: "Record every collective and what lies between.")
  var events = true

  @Flag(help: "Write event files for TensorBoard into tensorboard/ of the run directory.")
  var tensorboard = false

  var checksCollectives: Bool { checks.checksCollectives }

  func validate() throws {
    guard runDir != "" else {
      throw ValidationError("--run-dir is empty, expected the path of a directory.")
    }
    guard !resume || runDir != nil else {
      throw ValidationError("--resume needs --run-dir: the directory of the run to go on with.")
    }
    guard from == nil || resume else {
      throw ValidationError("--from needs --resume: it says which step a run goes back to.")
    }
  }

  func run(_ session: Session) throws -> Int32 {
    InterruptionSignals.install()
    let (settings, data) = try session.load(options.configuration, set: options.set)
    let path = runDir ?? RunDirectory.defaultPath(name: settings.name)
    try session.agreeing {
      if session.isFirst, !resume, runDir != nil { try RunDirectory.check(path) }
      if tensorboard { try RunFiles.checkTensorBoard() }
    }
    let resumption =
      resume
      ? try Resumption.find(path, settings, data: data, from: from, context: session.context)
      : .none
    for problem in resumption.problems { session.log.warning("\(problem)") }
    for change in resumption.changes { session.log.info("\(path): \(change)") }
    if case .end(let summary) = resumption.place {
      session.log.info("\(path): the run has ended; there is nothing to resume")
      try print(summary, path, session)
      return ExitStatus.done
    }
    let state = try session.agreeing {
      if case .checkpoint = resumption.place { return nil as StateDictionary? }
      return try initFrom.map { try StateDictionary(path: $0) }
    }
    try session.notePlaces()
    if events { session.context.record(in: EventLog()) }
    let run = try TrainingRun(
      settings, data: data, context: session.context, initialState: state)
    if case .checkpoint(let checkpoint) = resumption.place { try run.restore(checkpoint) }
    let files = try RunFiles(
      at: path, mayCount: runDir == nil, settings, resumption: resumption,
      vocabulary: data.vocabulary,
      context: session.context, tensorBoard: tensorboard,
      interruptions: InterruptionSource(
        signal: { InterruptionSignals.current }, noted: { ExitStatus.tell(ExitStatus.interrupted) }),
      warn: { session.log.warning("\($0)") })
    session.noteRanks()
    let progress = ProgressLine(
      isOn: session.isFirst, startingAt: Double(run.stepsTaken) / Double(run.totalSteps))
    defer { progress.finish() }
    let after = run.stepsTaken > 0 ? ", going on after step \(run.stepsTaken)" : ""
    session.log.info(
      "\(settings.name): \(settings.model.normName) norm, \(run.totalSteps) steps, \(session.context.size) rank(s), in \(files.path)\(after)"
    )
    let summary: RunSummary?
    do {
      summary = try train(
        run, ranks: session.context.size, after: files.earlier,
        asking: {
          StepRequests(
            stop: InterruptionSignals.current != nil || files.mustStop,
            checkpoint: files.isCheckpointDue)
        },
        onStep: { result in
          try files.append(result)
          progress.show(
            result, label: "step \(result.step)/\(run.totalSteps)",
            progress: Double(result.step) / Double(run.totalSteps))
        },
        onEvaluation: { try files.append($0, step: $1) },
        onCheckpoint: { try files.checkpoint(run, isDue: $0, evaluation: $1) })
    } catch let error where error is TrainingFailure || error is ReplicaError {
      // What was begun before is good.
      progress.finish()
      try files.abandon()
      guard let failure = error as? TrainingFailure, failure.step != nil,
        let wayBack = files.wayBack(from: failure)
      else { throw error }
      throw failure.adding(wayBack)
    }
    progress.finish()
    if let finding = run.overlapFinding { session.log.info("\(finding)") }
    guard let summary else {
      try files.interrupt(signal: InterruptionSignals.current)
      session.log.info(
        "interrupted after step \(run.stepsTaken) of \(run.totalSteps); go on with --run-dir \(LaunchRecord.quoted(files.path)) --resume"
      )
      return ExitStatus.interrupted
    }
    try print(try files.finish(summary), files.path, session)
    return ExitStatus.done
  }

  /// Prints the summary, which rank 0 alone may have.
  private func print(_ summary: RunSummary?, _ path: String, _ session: Session) throws {
    guard let summary else { return try session.print("") }
    if output.json {
      try session.print(try jsonDocument(summary))
    } else {
      try session.print(
        """
        loss \(fixed(summary.final.loss, 4)), test accuracy \
        \(fixed(100 * summary.final.accuracy, 2))%, test loss \(fixed(summary.final.testLoss, 4))\
        \(summary.final.exactMatch.map { ", exact match \(fixed(100 * $0, 2))%" } ?? "")
        step \(summary.times.stepMilliseconds.text(2)) ms (median [95% interval]), \
        \(summary.steps) steps in \(fixed(summary.seconds, 1)) s\
        \(summary.times.disturbed?.text.map { "\n\($0)" } ?? "")
        \(path)
        """)
    }
  }
}
