import ArgumentParser
import Foundation
import LockstepAnalysis
import LockstepBenchmarks
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepNorms

/// `lockstep bench split`.
struct BenchSplit: ParsableCommand, RankedCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    commandName: "split",
    abstract:
      "Show where steps spend time: computing, waiting for the last rank, transfer, by layer.",
    discussion: """
      Every collective's time is split at the last rank's arrival. The time before it is skew, caused by a \
      slow rank; the time after it is transfer, caused by the network. --check delays the last rank \
      before one layer's statistics, and the delay has to show up as that layer's skew on the other ranks. \
      --against compares with the same run on a faster network, and the added time has to show up as \
      transfer. The exit status is 1 if such a check fails. --run splits the steps that a run directory holds.
      """)

  @Argument(help: "The run configuration, a YAML file.")
  var configuration: String?

  @Option(
    name: .long, parsing: .singleValue,
    help: ArgumentHelp(
      "Replace a value of the configuration; may be repeated.", valueName: "key.path=value"))
  var set: [String] = []

  @Option(
    name: .customLong("run"),
    help: ArgumentHelp(
      "Split the recorded steps of a run directory instead of taking steps; your own program may write one.",
      valueName: "run"))
  var recorded: String?

  @OptionGroup var output: OutputOptions

  @Option(help: "The norm to use instead of the configuration's: \(NormKind.names).")
  var norm: NormKind?

  @Option(name: .customLong("steps"), help: "Steps to record (default: 50).")
  var givenSteps: Int?

  @Option(name: .customLong("warmup"), help: "Steps to take before recording (default: 5).")
  var givenWarmup: Int?

  private var steps: Int { givenSteps ?? 50 }
  private var warmup: Int { givenWarmup ?? 5 }

  @Flag(help: "Check the split by delaying one rank on purpose.")
  var check = false

  @Option(
    help: ArgumentHelp(
      "Check that transfer, but not skew, takes longer than in this file, which --json wrote for the same "
        + "run on a faster network.", valueName: "file"))
  var against: String?

  @Option(help: "The delay of --check, in milliseconds (default: 2).")
  var delay: Double?

  var needsNoRanks: Bool { recorded != nil }

  func validate() throws {
    guard (configuration == nil) != (recorded == nil) else {
      throw ValidationError(
        configuration == nil
          ? "Missing expected argument '<configuration>', or --run with a run directory."
          : "--run splits what was recorded, and takes no configuration.")
    }
    let asksForSteps = check || against != nil || norm != nil || !set.isEmpty
    if recorded != nil, asksForSteps || givenSteps != nil || givenWarmup != nil {
      throw ValidationError(
        "--run takes no --check, --against, --norm, --set, --steps or --warmup: it trains nothing.")
    }
    try limit("--steps", steps)
    guard !check || against == nil else {
      throw ValidationError("--check and --against are two checks: make one at a time.")
    }
    try limit("--warmup", warmup, from: 0)
    guard let delay else { return }
    guard check else {
      throw ValidationError("--delay needs --check: it sets the delay that --check makes.")
    }
    guard delay > 0, delay <= 1000 else {
      throw ValidationError("--delay is \(delay), expected more than 0 and at most 1000.")
    }
  }

  func run(_ console: Console) throws -> Int32 {
    let result = try SplitBenchmark(run: recorded ?? "")
    try console.print(output.json ? try jsonDocument(result) : Self.text(of: result))
    return ExitStatus.done
  }

  func run(_ session: Session) throws -> Int32 {
    var (settings, data) = try session.load(configuration ?? "", set: set)
    if let norm { settings = settings.with(norm: norm, from: "--norm") }
    session.noteRanks()
    try session.lookAtMachines()
    guard check else {
      let fast = try against.map { file in
        try session.agreeing {
          let fast = try Self.read(file)
          try SplitComparison.check(
            settings, ranks: session.context.size, against: fast, file: file)
          return fast
        }
      }
      let result = try SplitBenchmark(
        settings, data: data, context: session.context, warmup: warmup, steps: steps)
      guard let comparison = fast.map({ SplitComparison(result, against: $0) }) else {
        try session.print(output.json ? try jsonDocument(result) : Self.text(of: result))
        return ExitStatus.done
      }
      try session.print(
        output.json
          ? try jsonDocument(comparison) : Self.text(of: result) + Self.text(of: comparison))
      return comparison.passed ? ExitStatus.done : ExitStatus.mismatch
    }
    let result = try SplitCheck(
      settings, data: data, context: session.context, warmup: warmup, steps: steps,
      milliseconds: delay ?? 2)
    try session.print(output.json ? try jsonDocument(result) : Self.text(of: result))
    return result.passed ? ExitStatus.done : ExitStatus.mismatch
  }

  private static func text(of result: SplitBenchmark) -> String {
    let split = result.split
    var ranks = Table([
      "rank", "step ms [95%]", "compute", "stat skew", "stat transfer", "grad skew",
      "grad transfer", "control", "other", "unaccounted",
    ])
    for (rank, row) in split.ranks.enumerated() {
      ranks.append([
        "\(rank)", row.stepMilliseconds.text(2), fixed(row.computeMilliseconds.median, 3),
        fixed(row.statisticsSkewMilliseconds.median, 3),
        fixed(row.statisticsTransferMilliseconds.median, 3),
        fixed(row.gradientsSkewMilliseconds.median, 3),
        fixed(row.gradientsTransferMilliseconds.median, 3),
        fixed(row.controlMilliseconds.median, 3), fixed(row.otherMilliseconds.median, 3),
        fixed(100 * row.unaccounted, 2) + "%",
      ])
    }
    var sites = Self.sites
    for site in split.sites { sites.append(row(of: site)) }
    var layers = Table(["computing", "pass", "ms [95%]"])
    for layer in split.layers {
      layers.append([layer.name, layer.pass, layer.computeMilliseconds.text(3)])
    }
    return """
      \(result.work), \(result.norm) norm, \(result.ranks) rank(s), \(split.steps) steps, medians

      \(ranks.text)

      \(sites.text)

      \(layers.text)

      skew: from a rank's arrival to the last rank's; transfer: after that; both are means over ranks.
      in flight: while ranks computed; exposed: while they were blocked. last: the rank that most often \
      came last, and how often.
      Clocks agree to \(fixed(split.clockBoundMicroseconds, 1)) µs. Recording: \
      \(counted(result.log.eventsPerStep)) events a step, \(fixed(result.log.eventNanoseconds.median, 0)) \
      ns each: \(fixed(100 * result.log.share, 3))% of a step.
      """ + (split.mixedStepsText.map { "\nNote: \($0)." } ?? "")
        + (result.efficiency.map { "\n" + efficiency($0) } ?? "")
        + (result.disturbed.text.map { "\n\($0)" } ?? "")
  }

  /// The efficiencies, and the sites at which ranks would wait longest with instant transfer.
  private static func efficiency(_ efficiency: Efficiency) -> String {
    func percent(_ share: Double) -> String { fixed(100 * share, 1) + "%" }
    let worst = efficiency.sites.sorted { $0.waitingMilliseconds > $1.waitingMilliseconds }.prefix(
      3
    ).filter {
      $0.waitingMilliseconds >= 0.0005
    }.map { "\($0.name) \($0.pass) \(fixed($0.waitingMilliseconds, 3)) ms" }
    return """
      Parallel efficiency \(percent(efficiency.parallel)) = load balance \
      \(percent(efficiency.loadBalance)) × serialization \(percent(efficiency.serialization)) × transfer \
      \(percent(efficiency.transfer)).
      """
        + (worst.isEmpty
          ? ""
          : " With instant transfer, ranks would wait longest at \(worst.joined(separator: ", ")).")
  }

  private static func read(_ file: String) throws -> SplitBenchmark {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw ConfigurationError(file, "no such file; `bench split CONFIG --json > FILE` writes one")
    }
    guard let result = try? JSONDecoder().decode(SplitBenchmark.self, from: data) else {
      throw ConfigurationError(file, "is not what `bench split CONFIG --json` prints")
    }
    return result
  }

  private static func text(of comparison: SplitComparison) -> String {
    """


    compared with the faster network, a step's transfer is \
    \(fixed(comparison.transferGrewMilliseconds, 3)) ms longer, and its skew \
    \(fixed(comparison.skewGrewMilliseconds, 3)) ms longer
    \(comparison.passed ? "passed" : "FAILED"): the transfer has to grow by a tenth or more, and the \
    skew by at most a quarter of the transfer's growth
    """
  }

  private static let sites = Table([
    "collective", "pass", "a step", "bytes", "skew ms", "transfer ms", "in flight ms",
    "exposed ms [95%]", "last",
  ])

  private static func row(of site: StepSplit.Site) -> [String] {
    let last = site.last.indices.max { site.last[$0] < site.last[$1] } ?? 0
    return [
      site.name, site.pass,
      site.collectivesText,
      counted(site.bytes),
      fixed(site.skewMilliseconds.median, 4), fixed(site.transferMilliseconds.median, 4),
      fixed(site.inFlightMilliseconds.median, 4), site.exposedMilliseconds.text(4),
      "rank \(last) \(fixed(100 * site.last[last], 0))%",
    ]
  }

  private static func pairs(_ check: SplitCheck) -> String {
    guard check.disturbedPairs > 0 else { return "" }
    return check.disturbedPairs == check.pairs
      ? "\nAll \(check.pairs) pairs of steps were disturbed, and used."
      : "\n\(check.disturbedPairs) of \(check.pairs) pairs of steps were disturbed, and left out."
  }

  private static func text(of check: SplitCheck) -> String {
    var sites = Self.sites
    for split in [check.without, check.with] {
      for site in split.sites where site.name == check.layer {
        sites.append(row(of: site))
      }
    }
    return """
      \(check.work), \(check.norm) norm, \(check.ranks) ranks: \
      \(check.layer) without and with a delay of \(check.delayMilliseconds) ms on rank \(check.rank) before \
      its forward statistics

      \(sites.text)

      skew of the other ranks grew by    \(check.skewGrewMilliseconds.text(3)) ms, expected \
      \(fixed(check.delayMilliseconds, 3)) ± 10%
      rank \(check.rank) came last                  \(fixed(100 * check.cameLast, 1))%, expected \
      more often than others
      transfer changed by                \(fixed(check.transferChangedMilliseconds, 4)) ms, at most \
      \(fixed(check.transferMayChangeMilliseconds, 4))
      outside of what was recorded       \(fixed(100 * check.unaccounted, 2))% of a step, at most 2%
      \(check.passed ? "passed" : "FAILED")
      """ + pairs(check)
  }
}
