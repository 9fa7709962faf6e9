public import LockstepAnalysis
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles
import LockstepModels
import LockstepNorms
import LockstepRecording
import LockstepRuns
import LockstepTraining

/// What `bench split` prints.
public struct SplitBenchmark: Codable, Sendable {
  /// The configuration's name.
  public let work: String
  /// The kind of norm.
  public let norm: String
  /// The number of ranks.
  public let ranks: Int
  /// Where the time of the steps went.
  public let split: StepSplit
  /// What recording the steps cost.
  public let log: LogCost
  /// Where the ranks' time goes; nil if there is no step in which all ranks did the same.
  public let efficiency: Efficiency?
  /// How many of the steps were disturbed and left out, and why.
  public let disturbed: DisturbedSteps

  /// Takes `warmup` steps, then records `steps`.
  ///
  /// Collective.
  public init(
    _ configuration: RunConfiguration, data: DataSplit, context: RankContext, warmup: Int,
    steps: Int
  ) throws {
    let recording = try StepRecording(
      configuration, data: data, context: context, warmup: warmup, steps: steps)
    work = configuration.name
    norm = configuration.model.normName
    ranks = context.size
    let disturbances = recording.records.disturbances
    disturbed = DisturbedSteps(recording.numbers.map { disturbances[$0] ?? .none })
    let records = recording.records.undisturbed
    split = StepSplit(records)
    efficiency = Efficiency(RecordedSteps(records))
    let events = records[context.rank].entries.count
    log = LogCost(
      events: Double(events) / Double(max(split.steps, 1)),
      step: split.ranks[context.rank].stepMilliseconds.median)
  }
}

extension SplitBenchmark {
  /// Splits the steps that the run directory at `path` holds.
  ///
  /// - Throws: ``RecordingError`` or ``ConfigurationError`` if it holds none, or is damaged.
  public init(run path: String) throws {
    let recorded = try RecordedRun(path: path)
    ranks = recorded.headers.count
    let described = try RunDescription.read(run: path, ranks: ranks).description
    (work, norm) = (described.name, described.norm)
    let disturbances = recorded.records.disturbances
    let metrics = try RunMetrics(run: path)
    let (all, usual) = (
      RecordedSteps(recorded.records).numbers, metrics.usualSteps(of: recorded.records)
    )
    let numbers = all.contains(where: usual.contains) ? all.filter(usual.contains) : all
    disturbed = DisturbedSteps(numbers.map { disturbances[$0] ?? .none })
    let records = recorded.usualRecords(metrics)
    split = StepSplit(records)
    efficiency = Efficiency(RecordedSteps(records))
    log = LogCost(
      events: Double(records[0].entries.count) / Double(max(split.steps, 1)),
      step: split.ranks.first?.stepMilliseconds.median ?? 0)
  }
}

/// What the event log costs a step.
public struct LogCost: Codable, Sendable {
  /// The number of events in a step on this rank.
  public let eventsPerStep: Double
  /// How long it takes to record an event, with its fingerprint and what the watchdog sees, in nanoseconds.
  ///
  /// It is the median over loops of a thousand events: segments, and collectives that send nothing.
  public let eventNanoseconds: MedianInterval
  /// What all events of a step take, as a share of the step.
  public let share: Double

  private enum CodingKeys: String, CodingKey {
    case share
    case eventsPerStep = "events_per_step"
    case eventNanoseconds = "event_ns"
  }

  /// Measures what an event costs, for a step of `step` milliseconds with `events` events.
  init(events: Double, step: Double) {
    let log = EventLog()
    let meter = TrafficMeter()
    meter.record(in: log)
    meter.publish(in: RankActivity(), identity: 0, members: [0...0])
    let name = EventName("log cost")
    let count = 1000
    // A collective costs more than a segment; here every second event is one.
    let times = (0..<51).map { _ in
      let start = monotonicNanoseconds()
      for _ in 0..<count / 2 {
        log.mark(name, .forward)
        meter.leave(meter.enter(.allReduce, 1, of: .float64, for: .statistics(name, .forward)))
      }
      return Double(monotonicNanoseconds() - start) / Double(count)
    }
    eventsPerStep = events
    eventNanoseconds = MedianInterval(times)
    share = events * eventNanoseconds.median / 1e6 / step
  }
}

/// Whether an injected delay shows up where it was injected, and nowhere else.
public struct SplitCheck: Codable, Sendable {
  /// The configuration's name.
  public let work: String
  /// The kind of norm.
  public let norm: String
  /// The number of ranks.
  public let ranks: Int
  /// The norm layer whose forward statistics were delayed.
  public let layer: String
  /// The rank that was delayed.
  public let rank: Int
  /// The delay in a step, in milliseconds.
  public let delayMilliseconds: Double
  /// The steps without the delay.
  public let without: StepSplit
  /// The steps with the delay.
  public let with: StepSplit
  /// How much the rank's lateness at the layer, which is the other ranks' skew, grew, in milliseconds.
  ///
  /// It is the median over pairs of a step without the delay and the next step, which has it.
  public let skewGrewMilliseconds: MedianInterval
  /// The share of the layer's delayed collectives at which the rank arrived last.
  public let cameLast: Double
  /// How much the median transfer of the layer changed, in milliseconds.
  public let transferChangedMilliseconds: Double
  /// How much the transfer may change, in milliseconds: a tenth, or the clocks' bound plus 20 µs if that is
  /// more.
  public let transferMayChangeMilliseconds: Double
  /// The number of pairs of steps.
  public let pairs: Int
  /// How many pairs had a disturbed step; they are left out, unless all had one.
  public let disturbedPairs: Int
  /// The share of a step that no recorded part accounts for, on the rank where it is largest.
  public let unaccounted: Double
  /// Whether the check passed.
  ///
  /// The delay has to show up within a tenth of its length, and the rank has to arrive last more often than
  /// any other. The transfer must not change, and the parts of a step have to add up to it within 2%.
  public let passed: Bool

  private enum CodingKeys: String, CodingKey {
    case work, norm, ranks, layer, rank, without, with, unaccounted, passed, pairs
    case disturbedPairs = "disturbed_pairs"
    case delayMilliseconds = "delay_ms"
    case skewGrewMilliseconds = "skew_grew_ms"
    case cameLast = "came_last"
    case transferChangedMilliseconds = "transfer_changed_ms"
    case transferMayChangeMilliseconds = "transfer_may_change_ms"
  }

  /// Delays the last rank before the middle norm's statistics in every second step.
  ///
  /// Collective. Steps with and without the delay alternate, so that both see the same state of the machine.
  ///
  /// - Throws: ``ConfigurationError`` if there is only one rank, or no norm synchronizes over all ranks in
  ///   every step.
  public init(
    _ configuration: RunConfiguration, data: DataSplit, context: RankContext, warmup: Int,
    steps: Int, milliseconds: Double
  ) throws {
    guard context.size > 1 else {
      throw ConfigurationError(
        "--check",
        "needs two ranks or more, since one rank waits for nobody; start it with Launch/run -n 2 -- lockstep …"
      )
    }
    let settings = configuration.model.norm
    guard settings.synchronizes, settings.statisticsGroup == .all else {
      throw ConfigurationError(
        "--check", "needs a norm with statistics over all ranks, such as --norm sync-batch")
    }
    guard settings.every == 1 else {
      throw ConfigurationError(
        "--check",
        "delays the statistics of every second step, and not every step would have some; leave every out"
      )
    }
    let recording = try StepRecording(
      configuration, data: data, context: context, warmup: warmup, steps: 2 * steps,
      delay: (milliseconds, onEvery: 2))
    // A pair tells nothing if either step was disturbed.
    let disturbances = recording.records.disturbances
    let all = stride(from: 0, to: recording.numbers.count - 1, by: 2).map {
      (without: recording.numbers[$0], with: recording.numbers[$0 + 1])
    }
    let clean = all.filter { disturbances[$0.without] == nil && disturbances[$0.with] == nil }
    let counted = clean.isEmpty ? all : clean
    (self.pairs, disturbedPairs) = (all.count, all.count - clean.count)
    let without = StepSplit(recording.records.keeping(Set(counted.map(\.without))))
    let with = StepSplit(recording.records.keeping(Set(counted.map(\.with))))
    guard let layer = recording.delayedLayer else {
      throw ConfigurationError("--check", "the model has no norm")
    }
    let last = context.size - 1
    let found = [without, with].map { split in
      split.sites.first { $0.name == layer && $0.pass == "\(Pass.forward)" }
    }
    guard let quiet = found[0], let delayed = found[1] else {
      preconditionFailure("the layer's statistics are gone")
    }
    // Without a delay a rank may be early, and this drifts. So lateness is signed, and steps are compared
    // with their neighbours.
    let lateness = Dictionary(
      uniqueKeysWithValues: zip(
        recording.numbers,
        recording.records.lateness(of: last, at: .statistics(EventName(layer), .forward))))
    let pairs = counted.map {
      ((lateness[$0.with] ?? 0) - (lateness[$0.without] ?? 0)) / 1e6
    }
    work = configuration.name
    norm = configuration.model.normName
    ranks = context.size
    (self.layer, rank) = (layer, last)
    // There is one delay for each collective.
    delayMilliseconds = milliseconds * delayed.collectives
    (self.without, self.with) = (without, with)
    skewGrewMilliseconds = MedianInterval(pairs)
    cameLast = delayed.last[last]
    transferChangedMilliseconds =
      delayed.transferMilliseconds.median - quiet.transferMilliseconds.median
    transferMayChangeMilliseconds = max(
      quiet.transferMilliseconds.median / 10, with.clockBoundMicroseconds / 1e3 + 0.02)
    unaccounted = (without.ranks + with.ranks).map(\.unaccounted).max() ?? 1
    let expected = delayMilliseconds
    passed =
      unaccounted <= 0.02 && abs(skewGrewMilliseconds.median - expected) <= expected / 10
      && delayed.last[..<last].allSatisfy { $0 < delayed.last[last] }
      && abs(transferChangedMilliseconds) <= transferMayChangeMilliseconds
  }
}

/// What all ranks recorded of some steps of a run.
private struct StepRecording {
  let records: [RankRecord]
  /// The recorded steps' numbers.
  let numbers: [Int]
  /// The layer whose statistics were delayed.
  let delayedLayer: String?

  /// Takes `warmup` steps, then records `steps`.
  ///
  /// If there is a delay, the last rank makes it in the last step of every `onEvery`.
  init(
    _ configuration: RunConfiguration, data: DataSplit, context: RankContext, warmup: Int,
    steps: Int, delay: (milliseconds: Double, onEvery: Int)? = nil
  ) throws {
    var settings = configuration
    settings.length = .steps(warmup + TrainingRun.stepsToOverlap + steps)
    settings.data.dropLast = true
    if context.log == nil { context.record(in: EventLog()) }
    let clocks = try context.clocks()
    let run = try TrainingRun(settings, data: data, context: context)
    let sites = run.model.normSites
    delayedLayer = sites.isEmpty ? nil : sites[sites.count / 2].name
    try run.warmUp(warmup)
    numbers = Array(run.stepsTaken + 1..<run.stepsTaken + steps + 1)
    let first = try clocks.read()
    var events: [Event] = []
    let meter = context.statistics.meter
    defer { meter.injectedDelay = nil }
    for step in 0..<steps {
      if let delay, let delayedLayer, context.rank == context.size - 1 {
        meter.injectedDelay =
          step % delay.onEvery == delay.onEvery - 1
          ? (
            .statistics(EventName(delayedLayer), .forward),
            UInt64(delay.milliseconds * 1e6)
          ) : nil
      }
      // Step by step: the log keeps only the newest events.
      let begin = context.log?.count ?? 0
      _ = try run.step()
      events += context.log?.events(from: begin) ?? []
    }
    let clock = ClockOffset(first, try clocks.read())
    records = try RankRecord.gather(
      events, clock: clock, groups: context.recordedGroups, over: context.control)
  }
}
