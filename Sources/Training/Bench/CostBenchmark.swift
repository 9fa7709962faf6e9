import Collectives
public import Datasets
public import Measurement
public import Norms

/// What `bench cost` prints: what each norm costs a step, measured in turn.
public struct CostBenchmark: Codable, Sendable {
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
    /// Blocked for the statistics of the forward pass in a step, the mean over ranks, in milliseconds.
    public let forward_blocked_ms: MedianInterval
    /// Blocked for those of the backward pass.
    public let backward_blocked_ms: MedianInterval
    /// The same where nothing is computed meanwhile; nil where nothing is sent.
    public let backward_blocked_without_overlap_ms: MedianInterval?
    /// What overlap hides of it: the difference, from turn to turn.
    public let hidden_ms: MedianInterval?
    /// The share that is hidden, of the medians.
    public let hidden_share: Double?
    /// The duration of a step without overlap, in milliseconds.
    public let step_without_overlap_ms: MedianInterval?
    /// Blocked for gradients in a step, the mean over ranks, in milliseconds.
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
    var measured: [Measured] = []
    for variant in variants {
      measured.append(
        try Measured(
          TrainingRun(variant.configuration, data: data, context: context), context: context))
    }
    for variant in measured { try variant.step(Self.warmup, record: false) }
    for _ in 0..<turns {
      for variant in measured { try variant.step(Self.turn, record: true) }
    }
    for variant in measured { try variant.average() }
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

  /// The steps of one variant.
  private final class Measured {
    private let run: TrainingRun
    private let context: RankContext
    private(set) var steps: [StepResult] = []
    /// Blocked in each step, the mean over ranks, in milliseconds.
    private(set) var forward: [Double] = []
    private(set) var backward: [Double] = []
    private(set) var gradients: [Double] = []

    init(_ run: TrainingRun, context: RankContext) { (self.run, self.context) = (run, context) }

    func step(_ count: Int, record: Bool) throws {
      for _ in 0..<count {
        let result = try run.step()
        if record { steps.append(result) }
      }
    }

    func average() throws {
      var all = steps.flatMap { step in
        let backward = step.statistics.blockedBackwardNanoseconds
        return [
          step.statistics.blockedNanoseconds - backward, backward,
          step.gradients.blockedNanoseconds,
        ].map { Double($0) / 1e6 / Double(context.size) }
      }
      try context.control.sum(&all)
      func part(_ index: Int) -> [Double] { steps.indices.map { all[3 * $0 + index] } }
      (forward, backward, gradients) = (part(0), part(1), part(2))
    }
  }

  private static func result(_ variant: Variant, _ measured: Measured, without: Measured?) -> Result
  {
    func times(_ steps: [StepResult]) -> MedianInterval {
      MedianInterval(steps.map { Double($0.nanoseconds) / 1e6 })
    }
    func turns(_ values: [Double]) -> [Double] {
      stride(from: 0, to: values.count, by: turn).map { start in
        values[start..<min(start + turn, values.count)].reduce(0, +)
          / Double(min(turn, values.count - start))
      }
    }
    let (norm, n) = (variant.configuration.model.norm, Double(measured.steps.count))
    let backward = MedianInterval(measured.backward)
    let without = without.map { (steps: $0.steps, backward: $0.backward) }
    let blocked = without.map { MedianInterval($0.backward) }
    return Result(
      norm: variant.configuration.model.normName,
      merge: norm.synchronizes ? norm.merge.rawValue : nil, step_ms: times(measured.steps),
      statistics_collectives: Double(measured.steps.reduce(0) { $0 + $1.statistics.collectives })
        / n,
      statistics_bytes: Double(measured.steps.reduce(0) { $0 + $1.statistics.bytes }) / n,
      forward_blocked_ms: MedianInterval(measured.forward), backward_blocked_ms: backward,
      backward_blocked_without_overlap_ms: blocked,
      hidden_ms: without.map {
        MedianInterval(zip(turns($0.backward), turns(measured.backward)).map { $0 - $1 })
      },
      hidden_share: blocked.map { $0.median > 0 ? 1 - backward.median / $0.median : 0 },
      step_without_overlap_ms: without.map { times($0.steps) },
      gradients_blocked_ms: MedianInterval(measured.gradients))
  }
}
