public import LockstepAnalysis
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepMachine
import LockstepNorms
import LockstepRecording
import LockstepRuns
import LockstepTensors
import LockstepTraining

/// What `bench step` prints.
public struct StepBenchmark: Codable, Sendable {
  /// A figure of traffic for each purpose.
  public struct ByPurpose: Codable, Sendable {
    /// The figure for statistics.
    public let statistics: Double
    /// The figure for gradients.
    public let gradients: Double
  }

  /// The configuration's name.
  public let work: String
  /// The kind of norm.
  public let norm: String
  /// The number of ranks.
  public let ranks: Int
  /// The duration of a step on rank 0, in milliseconds.
  public let stepMilliseconds: MedianInterval
  /// Images or tokens per second over all ranks, at the median step.
  public let perSecond: Double
  /// Rank 0's largest resident set, in MiB.
  public let peakRssMebibytes: Double
  /// The number of collectives in a step.
  public let collectivesPerStep: ByPurpose
  /// Rank 0's bytes in a step.
  public let bytesPerStep: ByPurpose
  /// How long rank 0 was blocked in a step, at the median, in milliseconds.
  public let blockedMsPerStep: ByPurpose
  /// The number of pages that rank 0 touched for the first time in a step, at the median.
  public let pageFaultsPerStep: Double
  /// Whether weight gradients were computed while statistics were in flight.
  public let overlaps: Bool
  /// The share of the steps that were disturbed and left out, from 0 to 1.
  public let disturbedShare: Double
  /// How many steps were disturbed and left out, and why.
  public let disturbed: DisturbedSteps

  private enum CodingKeys: String, CodingKey {
    case work, norm, ranks, overlaps, disturbed
    case stepMilliseconds = "step_ms"
    case perSecond = "per_s"
    case peakRssMebibytes = "peak_rss_mb"
    case collectivesPerStep = "collectives_per_step"
    case bytesPerStep = "bytes_per_step"
    case blockedMsPerStep = "blocked_ms_per_step"
    case pageFaultsPerStep = "page_faults_per_step"
    case disturbedShare = "disturbed_share"
  }

  /// Takes `warmup` steps, and those that the run needs to decide whether it overlaps, then measures `steps`.
  ///
  /// Collective.
  public init(
    _ configuration: RunConfiguration, data: DataSplit,
    context: RankContext, warmup: Int, steps: Int
  ) throws {
    try configuration.checkStepsAreAlike("bench step", norms: [configuration.model.norm.kind])
    var settings = configuration
    settings.length = .steps(warmup + TrainingRun.stepsToOverlap + steps)
    settings.data.dropLast = true
    let run = try TrainingRun(settings, data: data, context: context)
    try run.warmUp(warmup)
    try context.control.barrier()
    var results: [StepResult] = []
    var faults: [Double] = []
    for _ in 0..<steps {
      let before = ResourceUsage.current().pageFaults
      results.append(try run.step())
      faults.append(Double(ResourceUsage.current().pageFaults - before))
    }
    overlaps = run.overlaps ?? false
    disturbed = DisturbedSteps(results.map(\.disturbance))
    disturbedShare = disturbed.share
    let clean = results.filter(\.disturbance.isNone)
    let all = results
    if !clean.isEmpty { results = clean }
    let times = MedianInterval(results.map { Double($0.nanoseconds) / 1e6 })
    let statistics = TrafficPerStep(all.map(\.statistics), timed: results.map(\.statistics))
    let gradients = TrafficPerStep(all.map(\.gradients), timed: results.map(\.gradients))
    work = configuration.name
    norm = configuration.model.normName
    ranks = context.size
    stepMilliseconds = times
    // A sample is one image, or the tokens of one sequence.
    let units = data.train.shape.dimensions.count == 1 ? data.train.shape[0] : 1
    perSecond = Double(results[0].samples * units) / times.median * 1e3
    peakRssMebibytes = ResourceUsage.current().peakMebibytes
    collectivesPerStep = ByPurpose(
      statistics: statistics.collectivesPerStep, gradients: gradients.collectivesPerStep)
    bytesPerStep = ByPurpose(
      statistics: statistics.bytesPerStep, gradients: gradients.bytesPerStep)
    blockedMsPerStep = ByPurpose(
      statistics: statistics.blockedMilliseconds.median,
      gradients: gradients.blockedMilliseconds.median)
    pageFaultsPerStep = MedianInterval(faults).median
  }
}
