import ArgumentParser
import LockstepAnalysis
import LockstepBenchmarks
import LockstepConfiguration
import LockstepFiles
import LockstepNorms

/// `lockstep bench cost`.
struct BenchCost: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "cost",
    abstract: "Measure how much longer each norm makes a step than the first norm does, and why.",
    discussion: """
      The norms take turns in rounds, each in a new random order. Every round gives each norm one ratio of \
      its step time to the first norm's. A norm that synchronizes runs three times: as configured, always \
      with overlap, and never with overlap. What overlap saves is the difference between the step times of \
      the last two; it may be negative.
      """)

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp(
      "The norms to measure, separated by commas: \(NormKind.names).", valueName: "a,b,…"),
    transform: NormList.init)
  var norms: NormList = NormList([.batch, .syncBatch, .layer, .rms, .group])

  @Flag(help: "Measure every way to merge statistics, not only the configured one.")
  var merges = false

  @Option(help: "Steps to count for each norm, in whole turns of \(Interleaving.turn - 1).")
  var steps = 50

  func validate() throws {
    try limit("--steps", steps)
  }

  func run(_ session: Session) throws -> Int32 {
    let (settings, data) = try session.load(options.configuration, set: options.set)
    if merges,
      !norms.kinds.contains(where: { settings.with(norm: $0).model.norm.chosenMerge != nil })
    {
      throw ConfigurationError(
        "--merges",
        "none of --norms has statistics to merge; leave it out, or add sync-batch to --norms")
    }
    session.noteRanks()
    try session.lookAtMachines()
    let result = try CostBenchmark(
      settings, norms: norms.kinds,
      merges: merges ? StatisticsMerge.allCases : [settings.model.norm.merge], steps: steps,
      data: data, context: session.context)
    try session.print(output.json ? try jsonDocument(result) : Self.text(of: result))
    return ExitStatus.done
  }

  private static func text(of benchmark: CostBenchmark) -> String {
    let merges = Set(benchmark.results.compactMap(\.merge)).count > 1
    func name(_ row: CostBenchmark.Result) -> String {
      row.norm + (merges ? row.merge.map { " \($0)" } ?? "" : "")
    }
    let first = benchmark.results.first.map(name) ?? ""
    var table = Table([
      "norm", "step ms [95%]", "against \(first) [95%]", "collectives", "bytes", "skew", "transfer",
      "tests", "gradients", "overlap", "saved by it ms [95%]",
    ])
    for row in benchmark.results {
      let blocked = [row.forward, row.backward]
      func sum(_ part: (CostBenchmark.Blocked) -> Double) -> String {
        fixed(blocked.reduce(0) { $0 + part($1) }, 2)
      }
      var cells = [name(row), row.stepMilliseconds.text(2), row.againstFirst?.text ?? "–"]
      cells += [counted(row.statisticsCollectives), counted(row.statisticsBytes)]
      cells += [sum(\.skewMilliseconds), sum(\.transferMilliseconds), sum(\.testsMilliseconds)]
      cells += [fixed(row.gradientsBlockedMilliseconds.median, 2)]
      cells += [
        row.overlaps.map { $0 ? "on" : "off" } ?? "–", row.savedMilliseconds?.text(2) ?? "–",
      ]
      table.append(cells)
    }
    return """
      \(benchmark.work) on \(benchmark.ranks) rank(s), \(benchmark.rounds) rounds, \
      \(benchmark.steps) counted steps a norm, in turn

      \(table.text)

      \(differences(benchmark, name))\(efficiencies(benchmark, name))

      against: the median of the rounds' ratios; all its intervals hold at once in 95% of cases.
      collectives, bytes: of statistics in a step. skew, transfer, tests: ms that ranks are blocked for \
      statistics before the last rank arrives, after it, and in MPI's tests for completion (sums over \
      layers, means over ranks, medians over steps). gradients: ms blocked for buckets. overlap: whether \
      weight gradients are computed while statistics are in flight. saved: the time of a step without \
      overlap minus that of a step with it, in pairs.
      """ + (benchmark.disturbed.text.map { "\n\($0)" } ?? "")
        + (PairedRatio.doubt(
          benchmark.results.compactMap(\.againstFirst), comparisons: benchmark.results.count - 1
        ).map { "\nNote: \($0)." } ?? "")
  }

  /// What makes a step longer than under the first norm, one line for each other norm, and a blank line.
  private static func differences(
    _ benchmark: CostBenchmark, _ name: (CostBenchmark.Result) -> String
  ) -> String {
    let lines = benchmark.results.compactMap { row in
      row.difference.map { difference in
        "\(name(row)): a step is \(difference.ms.text(2)) ms longer; the parts add up to "
          + "\(fixed(difference.sumMilliseconds, 2)): \(difference.text)"
      }
    }
    guard benchmark.results.count > 1 else { return "" }
    return lines.isEmpty
      ? "no round is undisturbed, so no difference can be explained\n\n"
      : lines.joined(separator: "\n") + "\n\n"
  }

  private static func efficiencies(
    _ benchmark: CostBenchmark, _ name: (CostBenchmark.Result) -> String
  ) -> String {
    var table = Table(["efficiency", "parallel", "= load balance", "× serialization", "× transfer"])
    for row in benchmark.results {
      guard let efficiency = row.efficiency else { continue }
      table.append(
        [name(row)]
          + [
            efficiency.parallel, efficiency.loadBalance, efficiency.serialization,
            efficiency.transfer,
          ].map { fixed(100 * $0, 1) + "%" })
    }
    return table.text
  }
}
