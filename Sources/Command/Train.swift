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
      kept, and the one with the best evaluation. The configuration's section checkpoint changes this: \
      {everySteps | everyEpochs | everySeconds, keep, keepBest}. With --resume, a run continues from the \
      newest undamaged checkpoint; on the same number of ranks, which lie together as before if they share \
      statistics by node, its results have the same bits.

      SIGTERM, SIGINT and SIGUSR1 end the run after its step, with a checkpoint, interrupted.json in the \
      run directory, and status 75. A second SIGINT ends it at once.
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var checks: CheckOptions

  @Option(
    help:
      "The run directory, new or empty unless resumed (default: runs/NAME-TIME, if taken with -2, -3 …)."
  )
  var runDir: String?

  @Flag(
    help: """
      Continue from the newest good checkpoint in --run-dir, or begin there if there is no run: the same \
      command line serves the first start and all later ones. These values of the configuration may change: \
      steps or epochs, which may only grow; evaluate; checkpoint; parallel.watchdogSeconds; data.path, if \
      the same data are there; and optimizer.learningRate, schedule, clipNorm, precision and \
      parallel.gradients, which help if it diverged.
      """)
  var resume = false

  @Option(
    help: ArgumentHelp(
      """
      With --resume: go back to the checkpoint of this step, and remove what the run did afterwards. Give it \
      for one start only, since the next start would go back again.
      """, valueName: "step"))
  var from: Int?

  @Option(
    help: ArgumentHelp(
      """
      Begin with the parameters of a safetensors file under PyTorch's names, or of a checkpoint. A run that \
      is resumed from a checkpoint ignores it.
      """, valueName: "file"))
  var initFrom: String?

  @Flag(inversion: .prefixedNo, help: "Record every collective and the computing between.")
  var events = true

  @Flag(help: "Write event files for TensorBoard into tensorboard/ of the run directory.")
  var tensorboard = false

  var checksCollectives: Bool { checks.checksCollectives }

  func validate() throws {
    guard runDir != "" else {
      throw ValidationError("--run-dir is empty, expected the path of a directory.")
    }
    guard !resume || runDir != nil else {
      throw ValidationError("--resume needs --run-dir: the directory of the run to continue.")
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
    for warning in run.warnings { session.log.warning("\(warning)") }
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
      // A checkpoint that was begun before the failure is good.
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

  /// Prints the summary, which other ranks than 0 may lack.
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
