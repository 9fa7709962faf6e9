import ArgumentParser
import Measurement
import Norms
import Training

/// `lockstep bench cost`.
struct BenchCost: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "cost",
    abstract: "Measure what each norm costs a step: collectives, blocked, hidden, step time.",
    discussion: """
      The norms take turns, a few steps each. Those that synchronize run with and without overlap: \
      what is hidden is what ranks are blocked less for the statistics of the backward pass.
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp(
      "The norms to measure, separated by commas: \(NormKind.names).", valueName: "a,b,…"),
    transform: NormList.init)
  var norms: NormList = NormList([.batch, .syncBatch, .layer, .rms, .group])

  @Flag(help: "Measure every way to merge statistics, not the configuration's alone.")
  var merges = false

  @Option(help: "Steps to measure of each; rounded up to whole turns of 5.")
  var steps = 50

  func validate() throws {
    guard steps > 0 else { throw ValidationError("--steps is \(steps), expected 1 or more.") }
  }

  func run(_ session: Session) throws -> Int32 {
    let (settings, data) = try session.load(options.configuration, set: options.set)
    session.noteRanks()
    let result = try CostBenchmark(
      settings, norms: norms.kinds,
      merges: merges ? StatisticsMerge.allCases : [settings.model.norm.merge], steps: steps,
      data: data, context: session.context)
    session.print(output.json ? try jsonDocument(result) : Self.text(of: result))
    return ExitStatus.done
  }

  private static func text(of benchmark: CostBenchmark) -> String {
    var table = Table([
      "norm", "collectives", "bytes", "blocked ms", "forward", "backward", "without overlap",
      "hidden ms [95%]", "hidden", "gradients", "step ms [95%]",
    ])
    let merges = Set(benchmark.results.compactMap(\.merge)).count > 1
    for row in benchmark.results {
      let merge = row.merge.map { merges ? " \($0)" : "" } ?? ""
      table.append([
        row.norm + merge, counted(row.statistics_collectives), counted(row.statistics_bytes),
        fixed(row.forward_blocked_ms.median + row.backward_blocked_ms.median, 3),
        fixed(row.forward_blocked_ms.median, 3), fixed(row.backward_blocked_ms.median, 3),
        row.backward_blocked_without_overlap_ms.map { fixed($0.median, 3) } ?? "–",
        row.hidden_ms.map { $0.text(3) } ?? "–",
        row.hidden_share.map { fixed(100 * $0, 0) + "%" } ?? "–",
        fixed(row.gradients_blocked_ms.median, 3), row.step_ms.text(2),
      ])
    }
    return """
      \(benchmark.work) on \(benchmark.ranks) rank(s), \(benchmark.steps) steps a norm, in turn

      \(table.text)

      A step's collectives and bytes of statistics, and how long ranks are blocked for them: inside \
      MPI, its tests included; means over ranks, medians over steps. without overlap: the backward \
      part where nothing is computed while it is in flight; hidden: the difference.
      """
  }
}
