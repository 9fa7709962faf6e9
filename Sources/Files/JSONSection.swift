import Foundation

/// An error in a file that describes a fabric or a machine's noise.
public struct InputFileError: ProgramError, Hashable, Sendable {
  /// The file's path.
  public let file: String
  /// What is wrong, with the field if it is in one.
  public let problem: String
  /// What to do about it.
  public let remedy: String

  /// Creates the error.
  public init(file: String, problem: String, remedy: String) {
    (self.file, self.problem, self.remedy) = (file, problem, remedy)
  }

  /// The file, the problem and the remedy.
  public var description: String { "\(file): \(problem); \(remedy)" }
}

/// An object of a file that describes a fabric or a machine's noise, read strictly.
package struct JSONSection {
  package let file: String
  private let path: String
  private let values: [String: JSONValue]

  package init(_ value: JSONValue, file: String, path: String, fields: [String])
    throws(InputFileError)
  {
    let known = fields.joined(separator: ", ")
    (self.file, self.path) = (file, path)
    guard case .object(let values) = value else {
      throw InputFileError(
        file: file, problem: "\(path.isEmpty ? "the document" : path) is \(value.kind)",
        remedy: "write an object with the fields \(known)")
    }
    self.values = values
    if let unknown = values.keys.filter({ !fields.contains($0) }).min() {
      throw InputFileError(
        file: file, problem: "unknown field \(place(unknown))",
        remedy: "the fields there are \(known)")
    }
  }

  /// Whether a field is given; null does not count.
  package func has(_ field: String) -> Bool {
    switch values[field] {
    case .none, .null: false
    default: true
    }
  }

  package func number(_ field: String) throws(InputFileError) -> Double {
    guard case .number(let number)? = values[field] else {
      throw wrong(field, "a number above 0")
    }
    guard number > 0 else { throw wrong(field, "a number above 0") }
    // No machine has numbers outside of this range, and times computed from them might not be finite.
    guard (1e-12...1e12).contains(number) else {
      throw wrong(field, "a number from 1e-12 to 1e12")
    }
    return number
  }

  /// A number that is at least `least`.
  package func number(_ field: String, from least: Double) throws(InputFileError) -> Double {
    guard case .number(let number)? = values[field], (least...1e12).contains(number) else {
      throw wrong(field, "a number from \(least) to 1e12")
    }
    return number
  }

  /// A list of numbers above 0.
  package func numbers(_ field: String) throws(InputFileError) -> [Double] {
    try list(field).map { value throws(InputFileError) in
      guard case .number(let number) = value, number > 0, number <= 1e12 else {
        throw InputFileError(
          file: file, problem: "\(place(field)) holds \(value.kind)",
          remedy: "give it numbers above 0 and up to 1e12")
      }
      return number
    }
  }

  package func count(_ field: String, from least: Int) throws(InputFileError) -> Int {
    guard case .number(let number)? = values[field], let count = Int(exactly: number),
      count >= least
    else { throw wrong(field, "a whole number from \(least) on") }
    guard count <= 1 << 40 else { throw wrong(field, "a whole number up to \(1 << 40)") }
    return count
  }

  package func text(_ field: String) throws(InputFileError) -> String {
    guard case .text(let text)? = values[field], !text.isEmpty else {
      throw wrong(field, "a text that is not empty")
    }
    return text
  }

  package func list(_ field: String) throws(InputFileError) -> [JSONValue] {
    guard case .list(let list)? = values[field] else { throw wrong(field, "a list") }
    return list
  }

  private func place(_ field: String) -> String { path.isEmpty ? field : "\(path).\(field)" }

  private func wrong(_ field: String, _ expected: String) -> InputFileError {
    InputFileError(
      file: file, problem: "\(place(field)) is \(values[field]?.kind ?? "missing")",
      remedy: "give it \(expected)")
  }
}

/// Any JSON value, so that messages can name a wrong one.
package enum JSONValue: Decodable {
  case null
  case flag(Bool)
  case number(Double)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let flag = try? container.decode(Bool.self) {
      self = .flag(flag)
    } else if let number = try? container.decode(Double.self) {
      self = .number(number)
    } else if let text = try? container.decode(String.self) {
      self = .text(text)
    } else if let list = try? container.decode([JSONValue].self) {
      self = .list(list)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// The value in words.
  package var kind: String {
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
