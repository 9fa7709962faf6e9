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
      The norms take turns, a few steps each. Those that synchronize run with and without overlap: what \
      is hidden is how much less ranks wait for the statistics of the backward pass. The library's own \
      work to send and receive is not hidden, and stands beside it as tests; and a rank that is slower \
      in every layer is waited for somewhere in any case, at the latest for the gradients.
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
    try session.print(output.json ? try jsonDocument(result) : Self.text(of: result))
    return ExitStatus.done
  }

  private static func text(of benchmark: CostBenchmark) -> String {
    var table = Table([
      "norm", "collectives", "bytes", "forward: skew", "transfer", "backward: skew", "transfer",
      "tests", "without overlap: skew", "transfer", "hidden", "gradients", "step ms [95%]",
      "without overlap",
    ])
    let merges = Set(benchmark.results.compactMap(\.merge)).count > 1
    for row in benchmark.results {
      let merge = row.merge.map { merges ? " \($0)" : "" } ?? ""
      table.append([
        row.norm + merge, counted(row.statistics_collectives), counted(row.statistics_bytes),
        fixed(row.forward.skew_ms, 2), fixed(row.forward.transfer_ms, 2),
        fixed(row.backward.skew_ms, 2), fixed(row.backward.transfer_ms, 2),
        fixed(row.backward.tests_ms, 2),
        row.backward_without_overlap.map { fixed($0.skew_ms, 2) } ?? "–",
        row.backward_without_overlap.map { fixed($0.transfer_ms, 2) } ?? "–",
        row.hidden_share.map { fixed(100 * $0, 0) + "%" } ?? "–",
        fixed(row.gradients_blocked_ms.median, 2), row.step_ms.text(1),
        row.step_without_overlap_ms.map { $0.text(1) } ?? "–",
      ])
    }
    return """
      \(benchmark.work) on \(benchmark.ranks) rank(s), \(benchmark.steps) steps a norm, in turn

      \(table.text)

      A step's collectives and bytes of statistics, and how many ms ranks are blocked for them, before the \
      last rank arrives (skew) and after (transfer): sums over layers, means over ranks, medians over \
      steps. tests: inside MPI to make progress while weight gradients are computed. without overlap: the \
      backward pass where nothing is computed meanwhile; hidden: the share of its waiting that overlap \
      takes away. gradients: blocked for buckets.
      """
  }
}
