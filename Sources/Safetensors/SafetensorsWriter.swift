public import Foundation
package import LockstepFiles
import LockstepTensors

/// The bytes of a safetensors file, piece by piece, so that a large state is not copied once more.
///
/// Tensors are in the order of their element sizes, largest first, and then of their names. So each
/// begins at a multiple of its element size.
package struct SafetensorsWriter {
  /// The length of the header and the header itself.
  package private(set) var header: [UInt8]
  private let values: [SafetensorsFile.Value]
  /// The bytes of the whole file.
  package let size: Int

  private struct Entry: Encodable {
    let dtype: String
    let shape: [Int]
    let dataOffsets: [Int]

    private enum CodingKeys: String, CodingKey {
      case dtype, shape
      case dataOffsets = "data_offsets"
    }
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

  package init(_ tensors: [String: SafetensorsFile.Value], metadata: [String: String]) throws {
    let sorted = tensors.sorted {
      ($1.value.elementBytes, $0.key) < ($0.value.elementBytes, $1.key)
    }
    var entries: [String: HeaderValue] = ["__metadata__": .metadata(metadata)]
    var end = 0
    for (name, value) in sorted {
      let from = end
      end += value.shape.count * value.elementBytes
      entries[name] = .entry(
        Entry(dtype: value.type, shape: value.shape.dimensions, dataOffsets: [from, end]))
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var json = [UInt8](try encoder.encode(entries))
    // Space at the end lets the tensors begin at a multiple of eight bytes.
    json += Array(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
    header = stride(from: 0, to: 64, by: 8).map { UInt8(truncatingIfNeeded: json.count >> $0) }
    header += json
    values = sorted.map(\.value)
    size = header.count + end
  }

  /// Overwrites the header with `bytes` from `start` on.
  package mutating func replace(at start: Int, with bytes: [UInt8]) {
    header.replaceSubrange(start..<start + bytes.count, with: bytes)
  }

  /// The largest piece, in bytes.
  private static let piece = 1 << 20

  /// Gives `body` the file's bytes in order.
  package func forEachPiece<Failure: Error>(_ body: ([UInt8]) throws(Failure) -> Void)
    throws(Failure)
  {
    try body(header)
    for value in values {
      let elements = Self.piece / value.elementBytes
      for start in stride(from: 0, to: value.shape.count, by: elements) {
        try body(value.bytes(start..<min(start + elements, value.shape.count)))
      }
    }
  }

  /// Writes the file to a path that a user names.
  package func write(to path: String) throws(OutputError) {
    let file = try OutputFile.named(path, expectedSize: size)
    try write(to: file)
    try file.finish()
  }

  /// Writes the bytes into an open file.
  package func write(to file: OutputFile) throws(OutputError) {
    try forEachPiece { (bytes) throws(OutputError) in try file.write(Data(bytes)) }
  }
}

extension SafetensorsFile {
  /// The bytes of a file with `tensors`.
  public static func encode(_ tensors: [String: Value], metadata: [String: String]) throws -> Data {
    let writer = try SafetensorsWriter(tensors, metadata: metadata)
    var data = Data(capacity: writer.size)
    writer.forEachPiece { data.append(contentsOf: $0) }
    return data
  }
}

extension SafetensorsFile.Value {
  /// The name of the elements' type.
  fileprivate var type: String {
    switch self {
    case .float32: "F32"
    case .int64: "I64"
    case .uint8: "U8"
    }
  }

  /// The bytes of an element.
  fileprivate var elementBytes: Int {
    switch self {
    case .float32: 4
    case .int64: 8
    case .uint8: 1
    }
  }

  /// The bytes of the elements in `range`, little-endian like all machines on which this runs.
  fileprivate func bytes(_ range: Range<Int>) -> [UInt8] {
    switch self {
    case .float32(let tensor):
      tensor.storage.copyBytes(tensor.offset + range.lowerBound..<tensor.offset + range.upperBound)
    case .int64(let elements, _): Storage(elements[range]).copyBytes(0..<range.count)
    case .uint8(let elements, _): Array(elements[range])
    }
  }
}
