import Collectives
public import Datasets
public import Measurement
public import Norms

/// What `bench cost` prints: what each norm costs a step, measured in turn.
public struct CostBenchmark: Codable, Sendable {
  /// Where ranks are blocked, in milliseconds: sums over layers of the medians over steps of the means over
  /// ranks.
  public struct Blocked: Codable, Sendable {
    /// Before the last rank arrived: ranks that wait for a slower one.
    public let skew_ms: Double
    /// After it.
    public let transfer_ms: Double
    /// In tests that make the progress: no waiting, but work for the library.
    public let tests_ms: Double

    /// All waiting; tests are none of it.
    public var waiting_ms: Double { skew_ms + transfer_ms }

    init(_ split: StepSplit?, _ pass: Pass) {
      let sites = (split?.sites ?? []).filter {
        $0.purpose == "statistics" && $0.pass == "\(pass)"
      }
      skew_ms = sites.reduce(0) { $0 + $1.exposed_skew_ms.median }
      transfer_ms = sites.reduce(0) { $0 + $1.exposed_transfer_ms.median }
      tests_ms = sites.reduce(0) { $0 + $1.tests_ms.median }
    }
  }

  /// One norm, with one merge.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// How its ranks agree; nil where they do not have to.
    public let merge: String?
    /// The duration of a step on rank 0, in milliseconds.
    public let step_ms: MedianInterval
    /// Collectives of statistics a step.
    public let statistics_collectives: Double
    /// A rank's bytes of statistics a step.
    public let statistics_bytes: Double
    /// Blocked for statistics in a step: of the forward pass, and of the backward pass with overlap and,
    /// where something is sent, without.
    public let forward: Blocked
    /// Of the backward pass, with weight gradients computed meanwhile.
    public let backward: Blocked
    /// Of the backward pass, where nothing is computed meanwhile; nil where nothing is sent.
    public let backward_without_overlap: Blocked?
    /// The share of the backward pass's waiting that overlap hides; nil where nothing is sent.
    public let hidden_share: Double?
    /// The duration of a step without overlap, in milliseconds.
    public let step_without_overlap_ms: MedianInterval?
    /// Blocked for gradients in a step on rank 0, in milliseconds.
    public let gradients_blocked_ms: MedianInterval
  }

  /// The configuration's name.
  public let work: String
  /// The number of ranks.
  public let ranks: Int
  /// Measured steps of each norm.
  public let steps: Int
  /// One a norm, and a merge.
  public let results: [Result]
}

extension CostBenchmark {
  /// How many steps one variant takes before the next one's turn.
  private static let turn = 5
  private static let warmup = 3

  /// Takes `steps` of each of `norms`, in turn and after a few to warm up; those that synchronize with
  /// and without overlap, and by each of `merges`.
  ///
  /// Collective.
  public init(
    _ configuration: RunConfiguration, norms: [NormKind], merges: [StatisticsMerge], steps: Int,
    data: DataSplit, context: RankContext
  ) throws {
    let turns = (steps + Self.turn - 1) / Self.turn
    var settings = configuration
    settings.length = .steps(Self.warmup + turns * Self.turn)
    settings.data.dropLast = true
    let variants = norms.flatMap { Variant.all(settings.with(norm: $0), merges: merges) }
    if context.log == nil { context.record(in: EventLog()) }
    let clocks = try ClockComparison(over: context.control)
    var measured: [Measured] = []
    for variant in variants {
      measured.append(
        try Measured(
          TrainingRun(variant.configuration, data: data, context: context), context: context))
    }
    for variant in measured { try variant.step(Self.warmup, record: false) }
    let reading = try clocks.read()
    for _ in 0..<turns {
      for variant in measured { try variant.step(Self.turn, record: true) }
    }
    let clock = ClockOffset(reading, try clocks.read())
    for variant in measured { try variant.gather(clock) }
    work = configuration.name
    ranks = context.size
    self.steps = turns * Self.turn
    results = variants.indices.filter { variants[$0].overlaps }.map { i in
      let partner = variants.indices.first { variants[$0].isWithoutOverlap(variants[i]) }
      return Self.result(variants[i], measured[i], without: partner.map { measured[$0] })
    }
  }

  /// A norm in one mode.
  private struct Variant {
    var configuration: RunConfiguration
    var overlaps = true

    static func all(_ configuration: RunConfiguration, merges: [StatisticsMerge]) -> [Variant] {
      guard configuration.model.norm.synchronizes else {
        return [Variant(configuration: configuration)]
      }
      return merges.flatMap { merge in
        [true, false].map { overlaps in
          var settings = configuration
          settings.model.norm.merge = merge
          settings.model.norm.overlap = overlaps
          return Variant(configuration: settings, overlaps: overlaps)
        }
      }
    }

    func isWithoutOverlap(_ other: Variant) -> Bool {
      var norm = other.configuration.model.norm
      norm.overlap = false
      return !overlaps && configuration.model.norm == norm
    }
  }

  /// The steps of one variant, and what all ranks recorded of them.
  private final class Measured {
    private let run: TrainingRun
    private let context: RankContext
    private(set) var steps: [StepResult] = []
    private var events: [Event] = []
    /// Where the recorded steps went, once they are gathered.
    private(set) var split: StepSplit?

    init(_ run: TrainingRun, context: RankContext) { (self.run, self.context) = (run, context) }

    func step(_ count: Int, record: Bool) throws {
      let first = context.log?.count ?? 0
      for _ in 0..<count {
        let result = try run.step()
        if record { steps.append(result) }
      }
      if record { events += context.log?.events(from: first) ?? [] }
    }

    /// Collective.
    func gather(_ clock: ClockOffset) throws {
      split = StepSplit(
        try RankRecord.gather(
          events, clock: clock, groups: context.recordedGroups, over: context.control))
    }
  }

  private static func result(_ variant: Variant, _ measured: Measured, without: Measured?) -> Result
  {
    func times(_ steps: [StepResult]) -> MedianInterval {
      MedianInterval(steps.map { Double($0.nanoseconds) / 1e6 })
    }
    let (norm, n) = (variant.configuration.model.norm, Double(measured.steps.count))
    let (forward, backward) = (
      Blocked(measured.split, .forward), Blocked(measured.split, .backward)
    )
    let blocked = without.map { Blocked($0.split, .backward) }
    return Result(
      norm: variant.configuration.model.normName,
      merge: norm.synchronizes ? norm.merge.rawValue : nil, step_ms: times(measured.steps),
      statistics_collectives: Double(measured.steps.reduce(0) { $0 + $1.statistics.collectives })
        / n,
      statistics_bytes: Double(measured.steps.reduce(0) { $0 + $1.statistics.bytes }) / n,
      forward: forward, backward: backward, backward_without_overlap: blocked,
      hidden_share: blocked.map {
        $0.waiting_ms > 0 ? 1 - backward.waiting_ms / $0.waiting_ms : 0
      },
      step_without_overlap_ms: without.map { times($0.steps) },
      gradients_blocked_ms: MedianInterval(
        measured.steps.map { Double($0.gradients.blockedNanoseconds) / 1e6 }))
  }
}
