import ArgumentParser
import Datasets
import Logging
import Norms
import Training

/// `lockstep train`.
struct Train: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a network and write a run directory.",
    discussion: """
      The directory holds config.yaml (resolved), metrics.jsonl (a line a step and an \
      evaluation), summary.json and checkpoints/.
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions

  @Option(help: "The run directory, which must not exist (default: runs/NAME-TIME).")
  var runDir: String?

  @Option(
    help: ArgumentHelp(
      "Begin with the parameters of a safetensors file under PyTorch's names.", valueName: "file"))
  var initFrom: String?

  func run(_ session: Session) throws -> Int32 {
    let (settings, data) = try session.load(options.configuration, set: options.set)
    let path = runDir ?? RunDirectory.defaultPath(name: settings.name)
    let state = try session.agreeing {
      if session.isFirst { try RunDirectory.check(path) }
      return try initFrom.map { try StateDictionary(path: $0) }
    }
    let run = try TrainingRun(
      settings, data: data, context: session.context, initialState: state)
    let directory = try session.agreeing {
      session.isFirst
        ? try RunDirectory(creating: path, settings, vocabulary: data.vocabulary) : nil
    }
    session.noteRanks()
    session.log.info(
      "\(settings.name): \(settings.model.normName) norm, \(run.totalSteps) steps, \(session.context.size) rank(s), in \(path)"
    )
    let progress = ProgressLine(isOn: session.isFirst)
    let summary = try train(
      run, ranks: session.context.size,
      onStep: { result in
        try directory?.append(result)
        progress.show(
          result, label: "step \(result.step)/\(run.totalSteps)",
          progress: Double(result.step) / Double(run.totalSteps))
      },
      onEvaluation: { try directory?.append($0, step: $1) })
    progress.finish()
    let final = try run.state()
    try session.agreeing {
      try directory?.write(final, step: run.stepsTaken)
      try directory?.write(summary)
    }
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
