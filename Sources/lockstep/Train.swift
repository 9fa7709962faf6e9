import ArgumentParser
import Collectives
import Datasets
import Logging
import Measurement
import Norms
import Training

/// `lockstep train`.
struct Train: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a network and write a run directory.",
    discussion: """
      The directory holds config.yaml (resolved), metrics.jsonl (a line a step and an \
      evaluation), summary.json, checkpoints/ and events/ (each rank's last collectives and \
      computing, for report, trace and predict).
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var checks: CheckOptions

  @Option(help: "The run directory, which must not exist (default: runs/NAME-TIME).")
  var runDir: String?

  @Option(
    help: ArgumentHelp(
      "Begin with the parameters of a safetensors file under PyTorch's names.", valueName: "file"))
  var initFrom: String?

  @Flag(inversion: .prefixedNo, help: "Record every collective and what lies between.")
  var events = true

  @Flag(help: "Write event files for TensorBoard into tensorboard/ of the run directory.")
  var tensorboard = false

  var checksCollectives: Bool { checks.checksCollectives }

  func run(_ session: Session) throws -> Int32 {
    let (settings, data) = try session.load(options.configuration, set: options.set)
    let path = runDir ?? RunDirectory.defaultPath(name: settings.name)
    let state = try session.agreeing {
      if session.isFirst { try RunDirectory.check(path) }
      if tensorboard { try RunFiles.checkTensorBoard() }
      return try initFrom.map { try StateDictionary(path: $0) }
    }
    if events { session.context.record(in: EventLog()) }
    let run = try TrainingRun(
      settings, data: data, context: session.context, initialState: state)
    let files = try RunFiles(
      creating: path, settings, vocabulary: data.vocabulary, context: session.context,
      tensorBoard: tensorboard)
    session.noteRanks()
    session.log.info(
      "\(settings.name): \(settings.model.normName) norm, \(run.totalSteps) steps, \(session.context.size) rank(s), in \(path)"
    )
    let progress = ProgressLine(isOn: session.isFirst)
    let summary = try train(
      run, ranks: session.context.size,
      onStep: { result in
        try files.append(result)
        progress.show(
          result, label: "step \(result.step)/\(run.totalSteps)",
          progress: Double(result.step) / Double(run.totalSteps))
      },
      onEvaluation: { try files.append($0, step: $1) })
    progress.finish()
    try files.finish(run, summary)
    if output.json {
      session.print(try jsonDocument(summary))
    } else {
      session.print(
        """
        loss \(fixed(summary.final.loss, 4)), test accuracy \
        \(fixed(100 * summary.final.accuracy, 2))%, test loss \(fixed(summary.final.test_loss, 4))\
        \(summary.final.exact_match.map { ", exact match \(fixed(100 * $0, 2))%" } ?? "")
        step \(summary.times.step_ms.text(2)) ms (median [95% interval]), \
        \(summary.steps) steps in \(fixed(summary.seconds, 1)) s
        \(path)
        """)
    }
    return ExitStatus.done
  }
}
