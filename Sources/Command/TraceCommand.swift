import ArgumentParser
import LockstepAnalysis
import LockstepFiles
import LockstepPrediction
import LockstepRecording
import LockstepRuns
import Logging

/// `lockstep trace`.
struct TraceCommand: ParsableCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract:
      "Write the last steps of a run as a trace for Perfetto and chrome://tracing, or for SimGrid.",
    discussion: """
      All ranks are on one clock, each with its steps, its computing by layer and pass, what blocked it, and \
      its collectives in flight. Arrows lead from the last rank to arrive at a collective to the ranks that \
      waited for it. Open the file at https://ui.perfetto.dev. A run that was killed can be traced, too. \
      --format smpi writes a folder of time-independent traces, which SimGrid's `smpirun -replay` plays on \
      any topology that it knows. They hold undisturbed steps drawn at random, on as many ranks as you ask \
      for, and count computing in operations, a billion a second.
      """)

  @Argument(help: "The run directory.")
  var run: String

  @Option(
    help: ArgumentHelp(
      "The file (default: trace.json in the run directory); with --format smpi, the folder (default: smpi in "
        + "the run directory).", valueName: "file"))
  var output: String?

  /// What a trace is for.
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case perfetto, smpi
  }

  @Option(help: "perfetto or smpi.")
  var format = Format.perfetto

  @Option(help: "With --format smpi, how many ranks (default: as many as were recorded).")
  package var ranks: Int?

  @Option(help: "How many steps, counted from the last.")
  var steps = 20

  @Option(
    help: "The most megabytes for Perfetto (default: 50); steps that do not fit are left out.")
  var megabytes: Int?

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try limit("--steps", steps)
    guard ranks == nil || format == .smpi else {
      throw ValidationError("--ranks needs --format smpi.")
    }
    try limit("--ranks", ranks ?? 1, to: 4096)
    guard megabytes == nil || format == .perfetto else {
      throw ValidationError(
        "--megabytes needs --format perfetto; --steps limits a folder for smpi.")
    }
    try limit("--megabytes", megabytes ?? 1, to: 1000)
  }

  private func writeReplay(_ console: Console) throws -> Int32 {
    let source = try PredictionSources.read([run])[0]
    let replay = try ReplayTrace(
      source, ranks: ranks, steps: steps, to: output ?? "\(run)/smpi")
    guard !printing.json else {
      try console.print(try jsonDocument(replay))
      return ExitStatus.done
    }
    try console.print(
      """
      \(replay.trace): \(replay.steps) steps of \(replay.ranks) rank(s), \(replay.collectives) \
      all-reduces each
      replay it by smpirun -np \(replay.ranks) -platform PLATFORM -hostfile HOSTS -replay \(replay.index)
      """)
    return ExitStatus.done
  }

  func run(_ console: Console) throws -> Int32 {
    if format == .smpi { return try writeReplay(console) }
    var trace = Trace(try RecordedRun(path: run), last: steps)
    let path = output ?? "\(run)/trace.json"
    let megabytes = megabytes ?? 50
    let summary = try trace.write(to: path, limit: megabytes * 1_000_000)
    if printing.json {
      try console.print(try jsonDocument(summary), about: path)
      return ExitStatus.done
    }
    if summary.stepsCut > 0 {
      console.log.warning(
        "the last \(summary.stepsCut) steps are left out: the file would be larger than \(megabytes) MB; ask for fewer --steps or more --megabytes"
      )
    }
    if !summary.complete {
      console.log.info(
        "the run did not end by itself: its clocks were compared only once, so their drift is not known"
      )
    }
    try console.print(
      """
      \(summary.trace): steps \(summary.firstStep) to \(summary.lastStep) of \(summary.ranks) \
      rank(s), \(counted(Double(summary.events))) events, \
      \(fixed(Double(summary.bytes) / 1e6, 2)) MB; clocks agree to \
      \(fixed(summary.clockBoundMicroseconds, 1)) µs
      open it at https://ui.perfetto.dev or chrome://tracing
      """, about: path)
    return ExitStatus.done
  }
}
