public import LockstepAnalysis
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles
public import LockstepNorms
import LockstepRecording
import LockstepTraining

/// What `bench cost` prints: what each norm costs a step, measured in turns.
public struct CostBenchmark: Codable, Sendable {
  /// How long ranks are blocked for statistics, in milliseconds.
  ///
  /// Each figure sums the layers' medians over steps; a step's figure is the mean over ranks.
  public struct Blocked: Codable, Sendable {
    /// Blocked before the last rank arrived: ranks wait for a slower one.
    public let skewMilliseconds: Double
    /// Blocked after the last rank arrived.
    public let transferMilliseconds: Double
    /// Spent in the tests that let MPI make progress: this is the library's work, not waiting.
    public let testsMilliseconds: Double

    private enum CodingKeys: String, CodingKey {
      case skewMilliseconds = "skew_ms"
      case transferMilliseconds = "transfer_ms"
      case testsMilliseconds = "tests_ms"
    }

    init(_ split: StepSplit?, _ pass: Pass) {
      let sites = (split?.sites ?? []).filter {
        $0.purpose == "statistics" && $0.pass == "\(pass)"
      }
      skewMilliseconds = sites.reduce(0) { $0 + $1.exposedSkewMilliseconds.median }
      transferMilliseconds = sites.reduce(0) { $0 + $1.exposedTransferMilliseconds.median }
      testsMilliseconds = sites.reduce(0) { $0 + $1.testsMilliseconds.median }
    }
  }

  /// One norm, with one merge.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// How ranks merge their statistics; nil if the norm does not synchronize, or has no choice.
    public let merge: String?
    /// The duration of a step on rank 0, in milliseconds.
    public let stepMilliseconds: MedianInterval
    /// The ratio of the step's duration to that under the first norm; nil for the first.
    public let againstFirst: PairedRatio?
    /// How much longer a step is than under the first norm, and why; nil for the first norm, and if no round
    /// is undisturbed.
    public let difference: StepDifference?
    /// The number of collectives of statistics in a step.
    public let statisticsCollectives: Double
    /// A rank's bytes of statistics in a step.
    public let statisticsBytes: Double
    /// How long ranks are blocked for statistics in the forward pass.
    public let forward: Blocked
    /// How long ranks are blocked for statistics in the backward pass.
    public let backward: Blocked
    /// Whether weight gradients were computed while statistics were in flight; nil if no statistics are sent.
    public let overlaps: Bool?
    /// How much shorter a step gets if weight gradients are computed while statistics are in flight, in
    /// milliseconds.
    ///
    /// It is a paired difference, negative if the step gets longer, and nil if no statistics are sent.
    public let savedMilliseconds: MedianInterval?
    /// The ratio of the configured step to the step without overlap; nil if no statistics are sent.
    public let againstWithoutOverlap: PairedRatio?
    /// How long rank 0 is blocked for gradients in a step, in milliseconds.
    public let gradientsBlockedMilliseconds: MedianInterval
    /// Where the ranks' time goes; nil if no step is undisturbed.
    public let efficiency: Efficiency?

    private enum CodingKeys: String, CodingKey {
      case norm, merge, difference, forward, backward, overlaps, efficiency
      case stepMilliseconds = "step_ms"
      case againstFirst = "against_first"
      case statisticsCollectives = "statistics_collectives"
      case statisticsBytes = "statistics_bytes"
      case savedMilliseconds = "saved_ms"
      case againstWithoutOverlap = "against_without_overlap"
      case gradientsBlockedMilliseconds = "gradients_blocked_ms"
    }
  }

  /// The configuration's name.
  public let work: String
  /// The number of ranks.
  public let ranks: Int
  /// The number of counted steps of each norm, including disturbed ones.
  public let steps: Int
  /// The number of rounds; in each round every norm took a turn.
  public let rounds: Int
  /// One result for each norm and merge.
  public let results: [Result]
  /// The share of the counted steps that were disturbed and left out, from 0 to 1.
  public let disturbedShare: Double
  /// How many steps were disturbed and left out, and why.
  public let disturbed: DisturbedSteps

  private enum CodingKeys: String, CodingKey {
    case work, ranks, steps, rounds, results, disturbed
    case disturbedShare = "disturbed_share"
  }
}

extension CostBenchmark {
  /// Measures `steps` steps of each of `norms`, in turns, after a few to warm up.
  ///
  /// Collective. A norm that synchronizes is measured by each of `merges`: as configured, always with
  /// overlap, and never with overlap.
  public init(
    _ configuration: RunConfiguration, norms: [NormKind], merges: [StatisticsMerge], steps: Int,
    data: DataSplit, context: RankContext
  ) throws {
    try configuration.checkStepsAreAlike("bench cost", norms: norms)
    let rounds = Interleaving.rounds(counting: steps)
    let variants = norms.flatMap { Variant.all(configuration.with(norm: $0), merges: merges) }
    if context.log == nil { context.record(in: EventLog()) }
    let clocks = try context.clocks()
    let runs = try InterleavedRuns(
      variants.map(\.configuration), rounds: rounds, data: data, context: context)
    let reading = try clocks.read()
    for _ in 0..<rounds { try runs.takeRound() }
    let clock = ClockOffset(reading, try clocks.read())
    let measured = try variants.indices.map { i in
      try Measured(runs, i, clock: clock)
    }
    work = configuration.name
    ranks = context.size
    self.rounds = rounds
    self.steps = rounds * (Interleaving.turn - 1)
    let configured = variants.indices.filter { variants[$0].mode == nil }
    let paired = runs.paired
    disturbed = paired.leftOut
    disturbedShare = paired.leftOut.share
    results = configured.map { i in
      func partner(_ mode: StatisticsOverlap) -> Int? {
        variants.indices.first { variants[$0].isLike(variants[i], but: mode) }
      }
      let (on, off) = (partner(.on), partner(.off))
      return Result(
        variants[i].configuration, runs, i, measured[i], base: i == 0 ? nil : measured[0],
        comparisons: configured.count - 1, overlaps: variants.count { $0.mode == .off }, on: on,
        off: off)
    }
  }

  /// A norm in one mode.
  private struct Variant {
    var configuration: RunConfiguration
    /// The mode of overlap; nil for the configured one.
    var mode: StatisticsOverlap?

    static func all(_ configuration: RunConfiguration, merges: [StatisticsMerge]) -> [Variant] {
      guard configuration.model.norm.synchronizes else {
        return [Variant(configuration: configuration)]
      }
      let hasChoice = configuration.model.norm.chosenMerge != nil
      return (hasChoice ? merges : [configuration.model.norm.merge]).flatMap { merge in
        let modes: [StatisticsOverlap?] = [nil, .on, .off]
        return modes.map { mode in
          var settings = configuration
          settings.model.norm.merge = merge
          if let mode { settings.model.norm.overlap = mode }
          return Variant(configuration: settings, mode: mode)
        }
      }
    }

    func isLike(_ other: Variant, but mode: StatisticsOverlap) -> Bool {
      var norm = other.configuration.model.norm
      norm.overlap = mode
      return self.mode == mode && configuration.model.norm == norm
    }
  }

  /// Where the time of one variant's undisturbed steps went.
  fileprivate struct Measured {
    let split: StepSplit
    let efficiency: Efficiency?
    /// The parts of each round's undisturbed steps.
    let rounds: [StepParts?]

    /// Collective.
    init(_ runs: InterleavedRuns, _ i: Int, clock: ClockOffset) throws {
      let records = try runs.records(of: i, clock: clock)
      let disturbed = records.disturbances
      let clean = records.undisturbed
      let recorded = RecordedSteps(clean)
      split = StepSplit(clean)
      efficiency = Efficiency(recorded)
      let places = Dictionary(
        uniqueKeysWithValues: recorded.numbers.enumerated().map { ($1, $0) })
      // The rounds that the ratio counts, and no others.
      rounds = zip(runs.numbers(of: i), runs.paired.rounds(of: i)).map { numbers, median in
        guard median != nil else { return nil }
        return StepParts(
          recorded, steps: numbers.filter { disturbed[$0] == nil }.compactMap { places[$0] })
      }
    }
  }
}

extension CostBenchmark.Result {
  fileprivate init(
    _ configuration: RunConfiguration, _ runs: InterleavedRuns, _ i: Int,
    _ measured: CostBenchmark.Measured, base: CostBenchmark.Measured?, comparisons: Int,
    overlaps comparisonsOfOverlap: Int, on: Int?, off: Int?
  ) {
    let (settings, paired, steps) = (configuration.model.norm, runs.paired, runs.steps(of: i))
    let n = Double(max(steps.count, 1))
    norm = configuration.model.normName
    merge = settings.chosenMerge?.rawValue
    stepMilliseconds = MedianInterval(paired.milliseconds(of: i))
    againstFirst = base.flatMap { _ in paired.ratio(of: i, to: 0, comparisons: comparisons) }
    difference = base.flatMap { base in
      StepDifference(base: base.rounds, own: measured.rounds, comparisons: comparisons)
    }
    statisticsCollectives = Double(steps.reduce(0) { $0 + $1.statistics.collectives }) / n
    statisticsBytes = Double(steps.reduce(0) { $0 + $1.statistics.bytes }) / n
    forward = CostBenchmark.Blocked(measured.split, .forward)
    backward = CostBenchmark.Blocked(measured.split, .backward)
    overlaps = settings.synchronizes ? runs.overlaps(i) : nil
    savedMilliseconds = off.flatMap { off in
      on.flatMap { paired.difference(of: off, to: $0, comparisons: comparisonsOfOverlap) }
    }
    againstWithoutOverlap = off.flatMap {
      paired.ratio(of: i, to: $0, comparisons: comparisonsOfOverlap)
    }
    gradientsBlockedMilliseconds = MedianInterval(
      steps.map { Double($0.gradients.blockedNanoseconds) / 1e6 })
    efficiency = measured.efficiency
  }
}
