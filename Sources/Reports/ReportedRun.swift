import Foundation
public import LockstepAnalysis
import LockstepCollectives
import LockstepConfiguration
import LockstepFiles
import LockstepRecording
public import LockstepRuns
import LockstepTraining

/// What a report says about one run.
public struct ReportedRun: Encodable, Sendable {
  /// The run directory.
  public let path: String
  /// A short name that tells the report's runs apart.
  public internal(set) var label = ""
  /// The configuration's name.
  public let name: String
  /// The kind of norm.
  public let norm: String
  /// The number of ranks, if it is known.
  public let ranks: Int?
  /// The machine of each rank; empty without events.
  public let hosts: [String]
  /// The command that started the run, if it is known.
  public let command: String?
  /// When the run was started, in UTC, if it is known.
  public let started: String?
  /// The number of steps taken.
  public let steps: Int
  /// Times and traffic of steady steps on rank 0.
  public let times: StepTimes
  /// How long statistics were in flight in a step while ranks computed, in milliseconds.
  ///
  /// It is the mean over ranks; nil without events.
  public let statisticsInFlightMilliseconds: Double?
  /// How long gradients were in flight in a step while ranks computed, in milliseconds.
  ///
  /// It is the mean over ranks; nil without events.
  public let gradientsInFlightMilliseconds: Double?
  /// The figures at the end of the run; nil if it did not end.
  public let final: FinalFigures?
  /// Loss and accuracy over the steps.
  public let curves: RunCurves
  /// The ratio of the step's duration to that of the first run with rounds in which both took a turn; nil for
  /// such a first run, and if the runs did not take turns.
  public internal(set) var againstFirst: PairedRatio?
  /// Which run of the report that first one is.
  var base: Int?
  /// Where the time of a usual step went; nil without events.
  public let parts: StepParts?
  /// The recorded steps by layer and collective; nil without events.
  public let split: StepSplit?
  /// Where the ranks' time goes; nil without events.
  public let efficiency: Efficiency?
  /// The median step; nil without events.
  public let medianStep: StepTimeline?
  /// The names under which norms were recorded.
  public let normLayers: [String]
  /// What is missing from the run's figures.
  public let notes: [String]
  /// The run's configuration; nil if your own program recorded the run.
  let configuration: RunConfiguration?

  private enum CodingKeys: String, CodingKey {
    case path, label, name, norm, ranks, hosts, command, started, steps, times
    case statisticsInFlightMilliseconds = "statistics_in_flight_ms", gradientsInFlightMilliseconds =
      "gradients_in_flight_ms", final, curves, againstFirst = "against_first", parts, split
    case efficiency, medianStep = "median_step", normLayers = "norm_layers", notes
  }

  /// Reads the run directory at `path`.
  ///
  /// - Throws: ``ConfigurationError`` if its configuration, metrics or summary are missing or damaged.
  init(path: String, _ metrics: RunMetrics) throws(ConfigurationError) {
    let summary = try RunSummary.read(run: path)
    let launch = LaunchRecord(run: path)
    let (described, configuration) = try RunDescription.read(
      run: path, ranks: summary?.ranks ?? launch?.ranks ?? 1)
    self.configuration = configuration
    var notes: [String] = []
    if summary == nil, configuration != nil {
      notes.append("the run did not end; its figures are those of \(metrics.steps.count) steps.")
    }
    if let resumed = launch?.resumed {
      let starts = resumed.map { "\($0.step) (\($0.ranks) rank(s))" }
      notes.append(
        "it was interrupted and resumed after step \(starts.joined(separator: ", ")); its figures by layer "
          + "and collective are from the last start.")
    }
    var recorded: RecordedRun?
    do {
      recorded = try RecordedRun(path: path)
    } catch {
      notes.append("nothing is known of its layers, collectives and ranks: \(error).")
    }
    if let recorded, !recorded.isComplete {
      notes.append("its clocks were compared only at the start, so their drift is not known.")
    }
    let hasNorm = described.norm != "none"
    let norms = recorded.map { Self.norms($0.records) } ?? []
    if recorded != nil, hasNorm, norms.isEmpty {
      notes.append(
        "its events do not say which layers are norms, so the computing of norms is counted with other "
          + "computing\(configuration == nil ? "" : "; train again to tell them apart").")
    }
    let clean = recorded.map { $0.usualRecords(metrics) }
    let steps = clean.map { RecordedSteps($0) }
    let split = clean.map { StepSplit($0) }
    if let text = split?.mixedStepsText { notes.append("\(text).") }
    func inFlight(_ isCounted: (StepSplit.Site) -> Bool) -> Double? {
      split.map { $0.sites.filter(isCounted).reduce(0) { $0 + $1.inFlightMilliseconds.median } }
    }
    self.path = path
    name = described.name
    norm = described.norm
    ranks = summary?.ranks ?? recorded?.headers.count ?? launch?.ranks
    hosts = recorded?.headers.map(\.host) ?? []
    (command, started) = (launch?.command, launch?.started)
    self.steps = metrics.steps.count
    times = StepTimes([metrics.steps])
    statisticsInFlightMilliseconds = inFlight { !$0.isBucket }
    gradientsInFlightMilliseconds = inFlight(\.isBucket)
    final = summary?.final
    curves = RunCurves(metrics)
    parts = steps.flatMap { StepParts($0) }
    self.split = split
    efficiency = steps.flatMap { Efficiency($0) }
    medianStep = steps.flatMap { StepTimeline(median: $0) }
    normLayers = norms.sorted()
    self.notes = notes
  }

  /// The names of the layers whose events say that they are norms.
  private static func norms(_ records: [RankRecord]) -> Set<String> {
    var names: Set<EventName> = []
    for entry in records.first?.entries ?? [] {
      if case .computing(let layer, _, isNorm: true) = entry.purpose { names.insert(layer) }
    }
    return Set(names.map(\.text))
  }
}
