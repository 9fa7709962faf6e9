import Foundation
import LockstepBenchmarks
import LockstepFiles
import LockstepMachine

/// What `lockstep bench collectives` prints.
struct CollectivesReport: Encodable {
  private enum Key: String, CodingKey {
    case library, places
  }

  private let result: CollectivesBenchmark
  private let library: String
  private let places: [RankPlace]

  init(_ result: CollectivesBenchmark, library: String, places: [RankPlace]) {
    (self.result, self.library, self.places) = (result, library, places)
  }

  func encode(to encoder: any Encoder) throws {
    try result.encode(to: encoder)
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(library, forKey: .library)
    try container.encode(places, forKey: .places)
  }

  /// A table for people.
  var text: String {
    var table = Table([
      "operation", "ranks", "bytes", "between µs [95%]", "least", "tight µs [95%]", "least",
      "GB/s", "bus GB/s", "late",
    ])
    for row in result.results {
      table.append([
        row.operation, "\(row.ranks)", counted(Double(row.bytes)),
        row.betweenMicroseconds.map(interval) ?? "–",
        row.betweenMicroseconds.map { fixed($0.minimum, 2) } ?? "–",
        interval(row.tightMicroseconds), fixed(row.tightMicroseconds.minimum, 2),
        row.tightGbPerSecond.map { fixed($0.algorithm, 3) } ?? "–",
        row.tightGbPerSecond?.bus.map { fixed($0, 3) } ?? "–",
        "\(row.lateWindows) of \(row.windows + row.lateWindows)",
      ])
    }
    return """
      \(library), \(result.ranks) rank(s), \(result.type)
      \(places.map(\.text).joined(separator: "\n"))

      \(table.text)

      between: between computing, from the last rank's arrival to the last rank's end; tight: one of many \
      runs that follow each other without a pause.
      GB/s: bytes over the tight loop's median; bus: what each rank's link carries in one direction.
      late: windows left out because a rank began late. Clocks agree to \
      \(fixed(result.clockBoundMicroseconds, 1)) µs.
      """
  }

  private func interval(_ times: CollectiveResult.Times) -> String {
    "\(fixed(times.median, 2)) [\(fixed(times.low, 2)), \(fixed(times.high, 2))]"
  }

  /// Comma-separated values: a header, then a row for each result; a missing value is empty.
  var csv: String {
    let times = ["between", "tight"].flatMap { way in
      ["minimum_us", "median_us", "low_us", "high_us", "algorithm_gb_per_s", "bus_gb_per_s"].map {
        "\(way)_\($0)"
      }
    }
    let header =
      ["operation", "ranks", "bytes", "channels"] + times + ["windows", "late_windows"]
    let rows = result.results.map { row in
      let numbers =
        columns(row.betweenMicroseconds, row.betweenGbPerSecond)
        + columns(row.tightMicroseconds, row.tightGbPerSecond)
      return [row.operation, "\(row.ranks)", "\(row.bytes)", row.channels.map { "\($0)" } ?? ""]
        + numbers.map { number in number.map { "\($0)" } ?? "" }
        + ["\(row.windows)", "\(row.lateWindows)"]
    }
    return ([header] + rows).map { $0.joined(separator: ",") }.joined(separator: "\n")
  }

  private func columns(_ times: CollectiveResult.Times?, _ speeds: CollectiveResult.Bandwidths?)
    -> [Double?]
  {
    [times?.minimum, times?.median, times?.low, times?.high, speeds?.algorithm, speeds?.bus]
  }
}
