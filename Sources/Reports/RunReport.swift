import Foundation
import LockstepAnalysis
public import LockstepConfiguration
import LockstepFiles
public import LockstepPrediction
import LockstepRecording
import LockstepRuns
import LockstepTraining

/// What `lockstep report` says about one run or several: the figures, without drawings.
public struct RunReport: Encodable, Sendable {
  /// The name of the configuration, or all names if they differ.
  public let work: String
  /// The report's finding, in one sentence.
  public let answer: String
  /// The share of all steps that were disturbed, from 0 to 1.
  public let disturbedShare: Double
  /// The runs, in the order given.
  public let runs: [ReportedRun]
  /// Settings besides the norm in which the runs differ, with each run's value.
  public let differences: [ConfigurationDifference]
  /// What is missing, and what makes figures hard to compare.
  public let notes: [String]
  /// The largest error of a time because the ranks' clocks differ, in microseconds; nil if no run has events.
  public let clockBoundMicroseconds: Double?

  /// How long steps would take on more ranks, for each fabric, from the first run of each norm that has
  /// events.
  public let predictions: [Prediction]

  private enum CodingKeys: String, CodingKey {
    case work, answer, runs, differences, notes, predictions
    case disturbedShare = "disturbed_share"
    case clockBoundMicroseconds = "clock_bound_us"
  }

  /// The rank counts of predictions.
  public static let predictedRanks = [2, 8, 64, 512, 4096]

  /// Reads the run directories at `paths` and predicts steps on each of `networks`.
  ///
  /// A folder that is not a run directory stands for the run directories in it.
  ///
  /// - Throws: ``ConfigurationError`` if a path leads to no run directory or a damaged one, if no run has
  ///   taken a step, or if the runs were trained on different kinds of data.
  public init(paths: [String], predictingOn networks: [NetworkModel]) throws {
    let directories = try Self.directories(paths)
    let metrics = try directories.map { try RunMetrics(run: $0) }
    var read = try zip(directories, metrics).map { try ReportedRun(path: $0, $1) }
    disturbedShare =
      DisturbedSteps(
        metrics.flatMap { $0.steps.map(\.disturbance) }
      ).share
    var notes: [String] = []
    notes += read.filter { $0.steps == 0 }.map { "\($0.path) is left out: it has taken no step." }
    read.removeAll { $0.steps == 0 }
    guard !read.isEmpty else {
      throw ConfigurationError(
        directories.joined(separator: ", "), "has taken no step yet; there is nothing to report")
    }
    Self.compare(&read, metrics.filter { !$0.steps.isEmpty })
    let configurations = read.compactMap(\.configuration)
    let configured = read.filter { $0.configuration != nil }
    let all = try RunConfiguration.differences(configurations)
    if configured.count < read.count, !configured.isEmpty {
      notes.append(
        "Runs that were recorded by a custom program have no configuration to compare: their settings are "
          + "not known.")
    }
    if let data = all.first(where: { $0.key == "data.kind" }) {
      let kinds = zip(configured, data.values).map { "\($0.path) on \($1 ?? "none")" }
      throw ConfigurationError(
        "data.kind",
        "the runs were trained on different data, so they cannot be compared ("
          + kinds.joined(separator: ", ") + "); report them one at a time")
    }
    differences = all.filter { !$0.key.hasPrefix("model.norm.") && $0.key != "name" }
    let names = Self.labels(read)
    for index in read.indices { read[index].label = names[index] }
    runs = read
    answer = Self.answer(read)
    work = Set(read.map(\.name)).sorted().joined(separator: ", ")
    clockBoundMicroseconds = read.compactMap { $0.split?.clockBoundMicroseconds }.max()
    notes += Self.notes(read, differences)
    var norms: Set<String> = []
    let sources = read.filter { $0.split != nil && norms.insert($0.norm).inserted }.map(\.path)
    do {
      let recorded = sources.isEmpty ? [] : try PredictionSources.read(sources)
      predictions =
        recorded.isEmpty
        ? []
        : try networks.map { try Prediction(recorded, on: $0, ranks: Self.predictedRanks) }
    } catch {
      notes.append("Nothing is predicted: \(error).")
      predictions = []
    }
    self.notes = notes
  }

  /// The run directories at `paths`; any other folder is replaced by the run directories in it.
  private static func directories(_ paths: [String]) throws(ConfigurationError) -> [String] {
    let files = FileManager.default
    func isRun(_ path: String) -> Bool {
      ["config.yaml", RunDescription.file].contains { files.fileExists(atPath: "\(path)/\($0)") }
    }
    var found: [String] = []
    for path in paths {
      guard files.fileExists(atPath: path) else {
        throw ConfigurationError(path, "no such run directory")
      }
      let below = ((try? files.contentsOfDirectory(atPath: path)) ?? []).sorted().map {
        (path.hasSuffix("/") ? path : path + "/") + $0
      }
      let runs = isRun(path) ? [path] : below.filter(isRun)
      guard !runs.isEmpty else {
        throw ConfigurationError(
          path,
          "is not a run directory: neither it nor a folder in it has config.yaml or recording.json")
      }
      found += runs
    }
    let places = found.map { URL(fileURLWithPath: $0).standardizedFileURL.path }
    if let index = places.indices.first(where: { places[..<$0].contains(places[$0]) }) {
      throw ConfigurationError(found[index], "is named twice")
    }
    return found
  }

  /// Gives each run its ratio to the first run that took turns with it.
  ///
  /// Runs take turns if they belong to one comparison, and so have the same command line, and to the same
  /// repeat of it: different repeats have no round in common.
  private static func compare(_ runs: inout [ReportedRun], _ metrics: [RunMetrics]) {
    guard let command = runs.first?.command, runs.allSatisfy({ $0.command == command }),
      let paired = PairedSteps(metrics.map(\.steps))
    else { return }
    for index in runs.indices.dropFirst() {
      for base in 0..<index where runs[index].againstFirst == nil {
        runs[index].againstFirst = paired.ratio(
          of: index, to: base, comparisons: runs.count - 1)
        if runs[index].againstFirst != nil { runs[index].base = base }
      }
    }
  }

  /// What the runs' step times say, based on the ratios of rounds in which all took a turn.
  private static func answer(_ runs: [ReportedRun]) -> String {
    guard let first = runs.first else { return "" }
    let others = runs.dropFirst()
    guard !others.isEmpty else {
      return
        "Under \(first.label) a step takes \(first.times.stepMilliseconds.text(2)) ms (median, 95%)."
    }
    guard others.contains(where: { $0.againstFirst != nil }) else {
      return
        "Which of these steps is shorter is not decided: the runs did not take turns, as they do under "
        + "`lockstep compare --run-dir`, so the machine may have been in another state for each run, or only every "
        + "k-th step of theirs synchronizes, and no median says what such a step takes."
    }
    let bases = Set(others.compactMap(\.base)).sorted()
    return bases.map { base in
      comparison(of: others.filter { $0.base == base }, to: runs[base].label)
    }.joined(separator: " ")
  }

  /// One sentence on the runs whose steps are compared with those of the run labelled `base`.
  private static func comparison(of runs: [ReportedRun], to base: String) -> String {
    var parts: [String] = []
    for verdict in [RatioVerdict.slower, .faster] {
      let found = runs.filter { $0.againstFirst?.verdict == verdict }
      if !found.isEmpty {
        parts.append(
          found.map { "\($0.againstFirst?.ratio.text(3) ?? "") times as long under \($0.label)" }
            .joined(separator: ", "))
      }
    }
    let open = runs.filter { $0.againstFirst?.verdict == .undecided }.map(\.label)
    let decided =
      parts.isEmpty ? "" : "Compared with \(base), a step takes \(parts.joined(separator: ", "))"
    if open.isEmpty { return decided + "." }
    let undecided = "\(open.joined(separator: ", ")) cannot be told apart from \(base)"
    return decided.isEmpty ? undecided + "." : "\(decided); \(undecided)."
  }

  /// A short name for each run: its norm, and whatever else is needed to tell the runs apart.
  private static func labels(_ runs: [ReportedRun]) -> [String] {
    func isUnique(_ labels: [String]) -> Bool { Set(labels).count == labels.count }
    let norms = runs.map(\.norm)
    if isUnique(norms) { return norms }
    let ranks = runs.map { run in "\(run.norm), " + (run.ranks.map { "\($0) ranks" } ?? "? ranks") }
    if isUnique(ranks) { return ranks }
    let folders = runs.map { URL(fileURLWithPath: $0.path).lastPathComponent }
    let named = zip(runs, folders).map { $1.hasPrefix($0.norm) ? $1 : "\($0.norm), \($1)" }
    return isUnique(named) ? named : runs.map { "\($0.norm), \($0.path)" }
  }

  private static func notes(_ runs: [ReportedRun], _ differences: [ConfigurationDifference])
    -> [String]
  {
    var notes = runs.flatMap { run in run.notes.map { "\(run.label): \($0)" } }
    let others = differences.filter { $0.key != "seed" }
    if !others.isEmpty {
      notes.append(
        "The runs differ in more than the norm: "
          + others.map { difference in
            let values = difference.values.map { $0 ?? "none" }
            return "\(difference.key) is \(values.joined(separator: " / "))"
          }.joined(separator: "; ") + ".")
    }
    if Set(runs.map(\.ranks)).count > 1 {
      notes.append(
        "The runs had different numbers of ranks: their times are for different shares of a batch.")
    }
    return notes
  }
}
