import Foundation

/// What is wrong with a fabric file.
public struct FabricError: Error, CustomStringConvertible, Hashable, Sendable {
  /// The file's path.
  public let file: String
  /// What is wrong, with the field where it is in one.
  public let problem: String
  /// What to do about it.
  public let remedy: String

  /// Puts the error together.
  public init(file: String, problem: String, remedy: String) {
    (self.file, self.problem, self.remedy) = (file, problem, remedy)
  }

  /// All three.
  public var description: String { "\(file): \(problem); \(remedy)" }
}

extension Fabric {
  /// Reads a fabric file.
  ///
  /// - Throws: ``FabricError`` with the field, if one is missing, unknown, of another type or not above
  ///   0, or if the points are none, out of order or twice the same.
  public static func read(_ path: String) throws(FabricError) -> Fabric {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw FabricError(
        file: path, problem: "no such file, or it cannot be read",
        remedy: "`lockstep bench collectives --fabric \(path)` on two ranks or more measures one")
    }
    let value: FabricValue
    do {
      value = try JSONDecoder().decode(FabricValue.self, from: data)
    } catch {
      throw FabricError(
        file: path, problem: "is not a JSON document",
        remedy: "write one object with the fields \(topFields.joined(separator: ", "))")
    }
    let top = try FabricSection(value, file: path, path: "", fields: topFields)
    return Fabric(
      name: try top.text("name"), source: try top.text("source"),
      ranks: try top.count("ranks", from: 1), latency_us: try top.number("latency_us"),
      bandwidth_gbit: try top.number("bandwidth_gbit"),
      reduction_gb_per_s: top.has("reduction_gb_per_s")
        ? try top.number("reduction_gb_per_s") : nil,
      points: top.has("points") ? try points(top) : nil)
  }

  private static let topFields = [
    "name", "source", "ranks", "latency_us", "bandwidth_gbit", "reduction_gb_per_s", "points",
  ]
  private static let pointFields = [
    "ranks", "bytes", "between_us", "tight_us", "nonblocking_us",
  ]

  private static func points(_ top: FabricSection) throws(FabricError) -> [Point] {
    var points: [Point] = []
    for (i, value) in try top.list("points").enumerated() {
      let path = "points[\(i)]"
      let section = try FabricSection(value, file: top.file, path: path, fields: pointFields)
      let point = Point(
        ranks: try section.count("ranks", from: 2), bytes: try section.count("bytes", from: 1),
        between_us: try section.number("between_us"), tight_us: try section.number("tight_us"),
        nonblocking_us: try section.number("nonblocking_us"))
      if let last = points.last {
        guard (last.ranks, last.bytes) != (point.ranks, point.bytes) else {
          throw FabricError(
            file: top.file,
            problem:
              "\(path) is of \(point.bytes) bytes on \(point.ranks) ranks, as the one before",
            remedy: "keep one of them")
        }
        guard (last.ranks, last.bytes) < (point.ranks, point.bytes) else {
          throw FabricError(
            file: top.file, problem: "\(path) is out of order",
            remedy: "sort the points by ranks, then by bytes")
        }
      }
      points.append(point)
    }
    guard !points.isEmpty else {
      throw FabricError(
        file: top.file, problem: "points is empty", remedy: "give measured points, or leave it out")
    }
    return points
  }
}

/// An object of a fabric file, read strictly.
private struct FabricSection {
  let file: String
  private let path: String
  private let values: [String: FabricValue]

  init(_ value: FabricValue, file: String, path: String, fields: [String]) throws(FabricError) {
    let known = fields.joined(separator: ", ")
    (self.file, self.path) = (file, path)
    guard case .object(let values) = value else {
      throw FabricError(
        file: file, problem: "\(path.isEmpty ? "the document" : path) is \(value.kind)",
        remedy: "write an object with the fields \(known)")
    }
    self.values = values
    if let unknown = values.keys.filter({ !fields.contains($0) }).min() {
      throw FabricError(
        file: file, problem: "unknown field \(place(unknown))",
        remedy: "the fields there are \(known)")
    }
  }

  /// Whether a field is given; null does not count.
  func has(_ field: String) -> Bool {
    switch values[field] {
    case .none, .null: false
    default: true
    }
  }

  func number(_ field: String) throws(FabricError) -> Double {
    guard case .number(let number)? = values[field] else {
      throw wrong(field, "a number above 0")
    }
    guard number > 0 else { throw wrong(field, "a number above 0") }
    // So far from 1 that no fabric has it, and that times of it would not be finite.
    guard (1e-12...1e12).contains(number) else {
      throw wrong(field, "a number from 1e-12 to 1e12")
    }
    return number
  }

  func count(_ field: String, from least: Int) throws(FabricError) -> Int {
    guard case .number(let number)? = values[field], let count = Int(exactly: number),
      count >= least
    else { throw wrong(field, "a whole number from \(least) on") }
    guard count <= 1 << 40 else { throw wrong(field, "a whole number up to \(1 << 40)") }
    return count
  }

  func text(_ field: String) throws(FabricError) -> String {
    guard case .text(let text)? = values[field], !text.isEmpty else {
      throw wrong(field, "a text that is not empty")
    }
    return text
  }

  func list(_ field: String) throws(FabricError) -> [FabricValue] {
    guard case .list(let list)? = values[field] else { throw wrong(field, "a list of points") }
    return list
  }

  private func place(_ field: String) -> String { path.isEmpty ? field : "\(path).\(field)" }

  private func wrong(_ field: String, _ expected: String) -> FabricError {
    FabricError(
      file: file, problem: "\(place(field)) is \(values[field]?.kind ?? "missing")",
      remedy: "give it \(expected)")
  }
}

/// Any JSON value, so that a wrong one can be named.
private enum FabricValue: Decodable {
  case null
  case flag(Bool)
  case number(Double)
  case text(String)
  case list([FabricValue])
  case object([String: FabricValue])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let flag = try? container.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try? container.decode(Double.self) {
      self = .number(number)
    } else if let text = try? container.decode(String.self) {
      self = .text(text)
    } else if let list = try? container.decode([FabricValue].self) {
      self = .list(list)
    } else {
      self = .object(try container.decode([String: FabricValue].self))
    }
  }

  /// What it is, in words.
  var kind: String {
    switch self {
    case .null: "null"
    case .flag(let flag): "\(flag)"
    case .number(let number): "\(number)"
    case .text(let text): "the text \"\(text)\""
    case .list: "a list"
    case .object: "an object"
    }
  }
}
