import Foundation
import LockstepAnalysis
import LockstepFiles
import LockstepRuns
import Mustache

/// The report as one HTML page that refers to nothing outside itself.
///
/// The template refers to the properties by name.
public struct ReportPage {
  private let work: String
  private let summary: String
  private let answer: String
  private let style: String
  private let hasNotes: Bool
  private let notes: [String]
  private let rows: [Row]
  private let charts: [Chart]
  private let runs: [RunSection]
  private let sources: [Source]
  private let clock: String

  private struct Row { let cells: [String] }

  private struct Source {
    let label: String
    let command: String?
    let about: String
  }

  private let library: MustacheLibrary

  /// Creates the page of a report.
  ///
  /// - Throws: An error of the template library, if one of the package's templates is broken.
  public init(_ report: RunReport) throws {
    func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
    library = MustacheLibrary(templates: [
      "report": try MustacheTemplate(string: text(PackageResources.report_mustache)),
      "chart": try MustacheTemplate(string: text(PackageResources.chart_mustache)),
    ])
    style = text(PackageResources.report_css)
    work = report.work
    summary = Self.summary(report)
    (hasNotes, notes) = (!report.notes.isEmpty, report.notes)
    rows = report.runs.map { Row(cells: Self.cells($0)) }
    answer = report.answer
    charts =
      [report.ratioChart, report.stepTimeChart, report.lossChart, report.accuracyChart].compactMap(
        \.self)
      + report.predictionCharts
    runs = report.runs.enumerated().compactMap { RunSection($1, number: $0) }
    sources = report.runs.map { run in
      let started = run.started.map { "Started \($0)" } ?? "Start time unknown"
      let hosts = Set(run.hosts).sorted()
      let place = hosts.isEmpty ? "" : ", on \(hosts.joined(separator: ", "))"
      return Source(
        label: run.label, command: run.command,
        about:
          "\(started)\(place). Run directory: \(run.path). \(counted(Double(run.steps))) steps.")
    }
    clock =
      report.clockBoundMicroseconds.map {
        "The ranks' clocks agree to \(fixed($0, 1)) µs"
          + ($0 == 0 ? ": all ranks used the clock of one machine." : ".")
      } ?? "No run has events, so nothing was compared between ranks."
  }

  /// The page as HTML.
  public var html: String { library.render(self, withTemplate: "report") ?? "" }

  private static func summary(_ report: RunReport) -> String {
    let ranks = Set(report.runs.compactMap(\.ranks)).sorted().map(String.init)
    let counts = ranks.isEmpty ? "an unknown number of" : ranks.joined(separator: " and ")
    let norms = report.runs.map(\.label).joined(separator: ", ")
    let disturbed = report.runs.compactMap { run in
      run.times.disturbed?.text.map { " \(run.label): \($0)." }
    }
    return "\(norms) on \(counts) rank(s)." + disturbed.joined()
  }

  private static func cells(_ run: ReportedRun) -> [String] {
    let (statistics, gradients) = (run.times.statistics, run.times.gradients)
    return [
      run.label, run.ranks.map(String.init) ?? "–", run.times.stepMilliseconds.text(2),
      run.againstFirst?.text ?? "–", counted(statistics.collectivesPerStep),
      counted(statistics.bytesPerStep),
      fixed(statistics.blockedMilliseconds.median, 3),
      run.statisticsInFlightMilliseconds.map { fixed($0, 3) } ?? "–",
      counted(gradients.collectivesPerStep), fixed(gradients.blockedMilliseconds.median, 3),
      run.gradientsInFlightMilliseconds.map { fixed($0, 3) } ?? "–",
      run.efficiency.map { fixed(100 * $0.parallel, 1) + "%" } ?? "–",
      run.efficiency.map { fixed(100 * $0.loadBalance, 1) + "%" } ?? "–",
      run.efficiency.map { fixed(100 * $0.serialization, 1) + "%" } ?? "–",
      run.efficiency.map { fixed(100 * $0.transfer, 1) + "%" } ?? "–",
      run.final.map { fixed($0.loss, 4) } ?? "–",
      run.final.map { fixed(100 * $0.accuracy, 2) + "%" } ?? "–",
    ]
  }
}
