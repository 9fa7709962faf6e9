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

  private struct Entry: Encodable {
    let dtype: String
    let shape: [Int]
    let data_offsets: [Int]
  }

  private enum HeaderValue: Encodable {
    case metadata([String: String])
    case entry(Entry)

    func encode(to encoder: any Encoder) throws {
      switch self {
      case .metadata(let metadata): try metadata.encode(to: encoder)
      case .entry(let entry): try entry.encode(to: encoder)
      }
    }
  }

  /// The bytes of a file with `tensors`, in the order of their names.
  public static func encode(_ tensors: [String: Value], metadata: [String: String]) throws -> Data {
    var header: [String: HeaderValue] = ["__metadata__": .metadata(metadata)]
    var body = Data()
    for (name, value) in tensors.sorted(by: { $0.key < $1.key }) {
      let from = body.count
      let type: String
      switch value {
      case .float32(let tensor):
        type = "F32"
        for element in tensor.elements { append(element.bitPattern, to: &body) }
      case .int64(let elements, _):
        type = "I64"
        for element in elements { append(UInt64(bitPattern: element), to: &body) }
      case .uint8(let elements, _):
        type = "U8"
        body.append(contentsOf: elements)
      }
      header[name] = .entry(
        Entry(
          dtype: type, shape: value.shape.dimensions, data_offsets: [from, body.count]))
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var json = try encoder.encode(header)
    // The tensors begin at a multiple of eight bytes.
    json.append(contentsOf: Array(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
    var file = Data()
    append(UInt64(json.count), to: &file)
    return file + json + body
  }

  private static func append(_ word: some FixedWidthInteger, to data: inout Data) {
    for shift in stride(from: 0, to: word.bitWidth, by: 8) {
      data.append(UInt8(truncatingIfNeeded: word >> shift))
    }
  }
}
