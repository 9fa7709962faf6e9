import ArgumentParser
import LockstepAnalysis
import LockstepBenchmarks
import LockstepDataParallel
import LockstepFiles
import LockstepMPIBackend
import LockstepNorms
import LockstepPrediction

/// `lockstep bench prediction`.
struct BenchPrediction: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "prediction",
    abstract: "Predict all ranks' steps from one rank's steps, and compare with measured steps.",
    discussion: """
      The norms take turns. In a turn, every rank takes steps by itself; then all ranks take steps together. \
      The exit status is 1 if a predicted median is off by more than \(fixed(100 * Prediction.tolerance, 0))%.
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions

  @Option(help: ArgumentHelp(FabricOption.help, valueName: "name|file"))
  var fabric: FabricOption

  @Option(
    help: ArgumentHelp(
      "The norms to check, separated by commas: \(NormKind.names).", valueName: "a,b,…"),
    transform: NormList.init)
  var norms: NormList = NormList([.syncBatch, .layer])

  @Option(
    help:
      "Steps to measure of each norm, alone and together, rounded up to turns of \(Interleaving.turn - 1)."
  )
  var steps = 40

  func validate() throws {
    try limit("--steps", steps)
  }

  func run(_ session: Session) throws -> Int32 {
    let (settings, data) = try session.load(options.configuration, set: options.set)
    try session.lookAtMachines()
    let network = NetworkModel(
      try session.agreeing { try fabric.read() },
      library: MPIRuntime.library)
    let check = try PredictionCheck(
      settings, norms: norms.kinds, steps: steps, on: network, data: data,
      context: session.context)
    try session.print(output.json ? try jsonDocument(check) : Self.text(of: check))
    return check.passed ? ExitStatus.done : ExitStatus.mismatch
  }

  private static func text(of check: PredictionCheck) -> String {
    var table = Table([
      "norm", "one rank ms [95%]", "predicted ms [95%]", "stat skew", "stat transfer", "gradients",
      "measured ms [95%]", "error",
    ])
    for row in check.results {
      table.append([
        row.norm, row.aloneMilliseconds.text(2), row.predicted.stepMilliseconds.text(2),
        fixed(row.predicted.statisticsSkewMilliseconds, 2),
        fixed(row.predicted.statisticsTransferMilliseconds, 2),
        fixed(row.predicted.gradientsMilliseconds, 2),
        row.measuredMilliseconds.text(2),
        (row.error < 0 ? "−" : "+") + fixed(100 * abs(row.error), 1) + "%",
      ])
    }
    return """
      \(check.work): \(check.ranks) ranks on \(check.fabric), predicted from one rank's steps, \
      \(check.steps) steps each, in turn

      \(table.text)

      \(check.passed ? "passed" : "FAILED"): every predicted median has to be within \
      \(fixed(100 * Prediction.tolerance, 0))% of the measured one; the median error is \
      \(fixed(100 * check.medianError, 1))%, the worst \(fixed(100 * check.worstError, 1))%
      """ + (check.disturbed.text.map { "\n\($0)" } ?? "")
  }
}
