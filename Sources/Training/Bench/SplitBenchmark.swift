import Collectives
public import Datasets
public import Measurement
import Norms

/// What `bench split` prints.
public struct SplitBenchmark: Codable, Sendable {
  /// The configuration's name.
  public let work: String
  /// The kind of norm.
  public let norm: String
  /// The number of ranks.
  public let ranks: Int
  /// Where the steps went.
  public let split: StepSplit

  /// A wait that one rank makes before the statistics of one layer, forward.
  public struct Delay: Hashable, Sendable {
    /// The norm's name.
    public let layer: String
    /// Which rank waits.
    public let rank: Int
    /// How long, in milliseconds.
    public let milliseconds: Double

    /// Puts the delay together.
    public init(layer: String, rank: Int, milliseconds: Double) {
      (self.layer, self.rank, self.milliseconds) = (layer, rank, milliseconds)
    }
  }

  /// Takes `warmup` steps, then records `steps`.
  ///
  /// Collective.
  public init(
    _ configuration: RunConfiguration, data: DataSplit, context: RankContext, warmup: Int,
    steps: Int, delay: Delay? = nil
  ) throws {
    var settings = configuration
    settings.length = .steps(warmup + steps)
    settings.data.dropLast = true
    if context.log == nil { context.record(in: EventLog()) }
    let clocks = try ClockComparison(over: context.control)
    let run = try TrainingRun(settings, data: data, context: context)
    if let delay, context.rank == delay.rank {
      context.statistics.meter.injectedDelay = (
        .statistics(EventName(delay.layer), .forward), UInt64(delay.milliseconds * 1e6)
      )
    }
    defer { context.statistics.meter.injectedDelay = nil }
    for _ in 0..<warmup { _ = try run.step() }
    let first = try clocks.read()
    let begin = context.log?.count ?? 0
    for _ in 0..<steps { _ = try run.step() }
    let events = context.log?.events(from: begin) ?? []
    let clock = ClockOffset(first, try clocks.read())
    let records = try RankRecord.gather(
      events, clock: clock, groups: context.recordedGroups, over: context.control)
    work = configuration.name
    norm = configuration.model.normName
    ranks = context.size
    split = StepSplit(records)
  }
}

/// Whether an injected delay shows up where it was made, and nowhere else.
public struct SplitCheck: Codable, Sendable {
  /// Without the delay.
  public let before: SplitBenchmark
  /// With it.
  public let after: SplitBenchmark
  /// The norm before whose forward statistics the delay was made.
  public let layer: String
  /// The rank that made it.
  public let rank: Int
  /// The delay, in milliseconds.
  public let delay_ms: Double
  /// By how much the mean skew of the other ranks grew at the layer, in milliseconds.
  public let skew_grew_ms: Double
  /// The share of the layer's forward collectives to which the rank came last.
  public let came_last: Double
  /// By how much the median transfer of the layer changed, in milliseconds.
  public let transfer_changed_ms: Double
  /// By how much it may: a tenth, or the clocks' bound and 20 µs.
  public let transfer_may_change_ms: Double
  /// The largest share of a step, over ranks, that is outside of what was recorded.
  public let unaccounted: Double
  /// Whether the delay was seen within a tenth, the rank was named, and the transfer stayed.
  public let passed: Bool

  /// Makes the delay on the last rank before the middle layer's statistics.
  ///
  /// Collective.
  ///
  /// - Throws: ``ConfigurationError`` where there is one rank, or no norm synchronizes over all.
  public init(
    _ configuration: RunConfiguration, data: DataSplit, context: RankContext, warmup: Int,
    steps: Int, milliseconds: Double
  ) throws {
    func measure(_ delay: SplitBenchmark.Delay? = nil) throws -> SplitBenchmark {
      try SplitBenchmark(
        configuration, data: data, context: context, warmup: warmup, steps: steps, delay: delay)
    }
    guard context.size > 1 else {
      throw ConfigurationError("--check", "needs two ranks or more: nobody waits for one")
    }
    before = try measure()
    let sites = before.split.sites.filter { $0.pass == "\(Pass.forward)" }
    guard !sites.isEmpty, configuration.model.norm.statisticsGroup == .all else {
      throw ConfigurationError(
        "--check", "needs a norm with statistics over all ranks, such as --norm sync-batch")
    }
    layer = sites[sites.count / 2].name
    rank = context.size - 1
    delay_ms = milliseconds
    after = try measure(
      SplitBenchmark.Delay(layer: layer, rank: rank, milliseconds: milliseconds))
    let found = [before, after].map { [layer] benchmark in
      benchmark.split.sites.first { $0.name == layer && $0.pass == "\(Pass.forward)" }
    }
    guard let quiet = found[0], let delayed = found[1] else {
      preconditionFailure("the layer's statistics are gone")
    }
    func skewOfOthers(_ site: StepSplit.Site) -> Double {
      let others = site.skew_by_rank_ms.dropLast()
      return others.reduce(0, +) / Double(others.count)
    }
    skew_grew_ms = skewOfOthers(delayed) - skewOfOthers(quiet)
    came_last = delayed.last[rank]
    transfer_changed_ms = delayed.transfer_ms.median - quiet.transfer_ms.median
    transfer_may_change_ms = max(
      quiet.transfer_ms.median / 10, after.split.clock_bound_us / 1e3 + 0.02)
    unaccounted = (before.split.ranks + after.split.ranks).map(\.unaccounted).max() ?? 1
    passed =
      unaccounted <= 0.02 && abs(skew_grew_ms - milliseconds) <= milliseconds / 10
      && came_last > 0.9
      && abs(transfer_changed_ms) <= transfer_may_change_ms
  }
}
