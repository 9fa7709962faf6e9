import Foundation
public import LockstepFiles

extension Fabric {
  /// Reads a fabric file.
  ///
  /// - Throws: ``InputFileError`` with the field, if one is missing, unknown, of another type or not above
  ///   0, or if the list of points is empty, out of order or has a point twice.
  public static func read(_ path: String) throws(InputFileError) -> Fabric {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw InputFileError(
        file: path, problem: "no such file, or it cannot be read",
        remedy: "`lockstep bench collectives --fabric \(path)` on two ranks or more measures one")
    }
    let value: JSONValue
    do {
      value = try JSONDecoder().decode(JSONValue.self, from: data)
    } catch {
      throw InputFileError(
        file: path, problem: "is not a JSON document",
        remedy: "write one object with the fields \(topFields.joined(separator: ", "))")
    }
    let top = try JSONSection(value, file: path, path: "", fields: topFields)
    return Fabric(
      name: try top.text("name"), source: try top.text("source"),
      ranks: try top.count("ranks", from: 1), latencyMicroseconds: try top.number("latency_us"),
      bandwidthGigabits: try top.number("bandwidth_gbit"),
      reductionGbPerSecond: top.has("reduction_gb_per_s")
        ? try top.number("reduction_gb_per_s") : nil,
      points: top.has("points") ? try points(top) : nil)
  }

  private static let topFields = [
    "name", "source", "ranks", "latency_us", "bandwidth_gbit", "reduction_gb_per_s", "points",
  ]
  private static let pointFields = [
    "ranks", "bytes", "between_us", "tight_us", "nonblocking_us",
  ]

  private static func points(_ top: JSONSection) throws(InputFileError) -> [Point] {
    var points: [Point] = []
    for (i, value) in try top.list("points").enumerated() {
      let path = "points[\(i)]"
      let section = try JSONSection(value, file: top.file, path: path, fields: pointFields)
      let point = Point(
        ranks: try section.count("ranks", from: 2), bytes: try section.count("bytes", from: 1),
        betweenMicroseconds: try section.number("between_us"),
        tightMicroseconds: try section.number("tight_us"),
        nonblockingMicroseconds: try section.number("nonblocking_us"))
      if let last = points.last {
        guard (last.ranks, last.bytes) != (point.ranks, point.bytes) else {
          throw InputFileError(
            file: top.file,
            problem:
              "\(path) has \(point.bytes) bytes on \(point.ranks) ranks, like the one before",
            remedy: "keep one of them")
        }
        guard (last.ranks, last.bytes) < (point.ranks, point.bytes) else {
          throw InputFileError(
            file: top.file, problem: "\(path) is out of order",
            remedy: "sort the points by ranks, then by bytes")
        }
      }
      points.append(point)
    }
    guard !points.isEmpty else {
      throw InputFileError(
        file: top.file, problem: "points is empty", remedy: "give measured points, or leave it out")
    }
    return points
  }
}
