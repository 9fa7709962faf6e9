public import Foundation
public import Tensors

/// A file in the safetensors format: eight bytes with the length of a JSON header, the header,
/// and the tensors' bytes, all little-endian.
///
/// Source: the format's specification, <https://github.com/huggingface/safetensors>.
public struct SafetensorsFile: Sendable {
  /// A tensor of one of the types that occur here.
  public enum Value: Sendable {
    /// `F32`.
    case float32(Tensor)
    /// `I64`.
    case int64([Int64], shape: Shape)
    /// `U8`.
    case uint8([UInt8], shape: Shape)

    /// The extents.
    public var shape: Shape {
      switch self {
      case .float32(let tensor): tensor.shape
      case .int64(_, let shape), .uint8(_, let shape): shape
      }
    }
  }

  /// Where the file was read, for messages.
  public let path: String
  /// The tensors by name.
  public let tensors: [String: Value]
  /// The header's `__metadata__`.
  public let metadata: [String: String]

  private struct Entry: Codable {
    let dtype: String
    let shape: [Int]
    let data_offsets: [Int]
  }

  private enum HeaderValue: Codable {
    case metadata([String: String])
    case entry(Entry)

    init(from decoder: any Decoder) throws {
      if let entry = try? Entry(from: decoder) {
        self = .entry(entry)
      } else {
        self = .metadata(try [String: String](from: decoder))
      }
    }

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .metadata(let metadata): try metadata.encode(to: encoder)
      case .entry(let entry): try entry.encode(to: encoder)
      }
    }
  }

  /// Reads a file.
  public init(path: String) throws(StateError) {
    let data: Data
    do {
      data = try Data(contentsOf: URL(fileURLWithPath: path))
    } catch {
      let exists = FileManager.default.fileExists(atPath: path)
      throw StateError(description: "\(path): \(exists ? "cannot be read" : "no such file")")
    }
    try self.init(data, path: path)
  }

  /// Decodes a file's bytes; `path` stands in messages.
  public init(_ data: Data, path: String) throws(StateError) {
    func wrong(_ problem: String) -> StateError {
      StateError(description: "\(path): not a safetensors file: \(problem)")
    }
    let bytes = [UInt8](data)
    guard bytes.count >= 8 else { throw wrong("\(bytes.count) bytes") }
    let length = bytes[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(min(bytes.count - 8, 100_000_000)) else {
      throw wrong("the header is said to have \(length) bytes, the file has \(bytes.count)")
    }
    let start = 8 + Int(length)
    let header: [String: HeaderValue]
    do {
      header = try JSONDecoder().decode(
        [String: HeaderValue].self, from: Data(bytes[8..<start]))
    } catch {
      throw wrong("the header is not the JSON it should be")
    }
    var tensors: [String: Value] = [:]
    var metadata: [String: String] = [:]
    var covered: [(Int, Int)] = []
    for (name, value) in header {
      switch value {
      case .metadata(let pairs):
        guard name == "__metadata__" else { throw wrong("\"\(name)\" is no tensor") }
        metadata = pairs
      case .entry(let entry):
        guard entry.data_offsets.count == 2, entry.shape.allSatisfy({ $0 >= 0 }) else {
          throw wrong("\"\(name)\" has wrong offsets or extents")
        }
        let (from, to) = (entry.data_offsets[0], entry.data_offsets[1])
        guard from >= 0, from <= to, to <= bytes.count - start else {
          throw wrong("\"\(name)\" lies outside the file")
        }
        tensors[name] = try Self.value(entry, bytes[start + from..<start + to], wrong, name)
        covered.append((from, to))
      }
    }
    var end = 0
    for (from, to) in covered.sorted(by: { $0 < $1 }) {
      guard from == end else { throw wrong("tensors overlap or leave a hole at byte \(end)") }
      end = to
    }
    guard end == bytes.count - start else {
      throw wrong("\(bytes.count - start - end) bytes belong to no tensor")
    }
    self.path = path
    self.tensors = tensors
    self.metadata = metadata
  }

  private static func value(
    _ entry: Entry, _ bytes: ArraySlice<UInt8>, _ wrong: (String) -> StateError, _ name: String
  ) throws(StateError) -> Value {
    let sizes = ["F32": 4, "I64": 8, "U8": 1]
    guard let size = sizes[entry.dtype] else {
      throw wrong("\"\(name)\" has type \(entry.dtype), expected one of F32, I64, U8")
    }
    var count = size
    for extent in entry.shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw wrong("\"\(name)\" has extents \(entry.shape)") }
      count = product
    }
    guard count == bytes.count else {
      throw wrong("\"\(name)\" has \(bytes.count) bytes, its extents \(entry.shape) need \(count)")
    }
    let shape = Shape(entry.shape)
    func word(_ i: Int) -> UInt64 {
      bytes[(bytes.startIndex + i * size)..<(bytes.startIndex + (i + 1) * size)].reversed()
        .reduce(0) { $0 << 8 | UInt64($1) }
    }
    switch entry.dtype {
    case "F32":
      return .float32(
        Tensor(
          (0..<shape.count).map { Float(bitPattern: UInt32(truncatingIfNeeded: word($0))) },
          shape: shape))
    case "I64":
      return .int64((0..<shape.count).map { Int64(bitPattern: word($0)) }, shape: shape)
    default: return .uint8(Array(bytes), shape: shape)
    }
  }
}
