import Foundation
import LockstepFiles
import LockstepTensors

/// What a safetensors file says about its tensors, checked against the file's size.
///
/// Everything is checked before memory is taken for any tensor. A file that the format's own reader
/// refuses is refused here, too.
///
/// Source: the format's specification, <https://github.com/huggingface/safetensors>.
struct SafetensorsHeader {
  /// A type of elements.
  enum ElementType: String, CaseIterable {
    case float32 = "F32"
    case float64 = "F64"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case uint8 = "U8"

    /// The bytes of one element.
    var size: Int {
      switch self {
      case .float32: 4
      case .float64, .int64: 8
      case .float16, .bfloat16: 2
      case .uint8: 1
      }
    }
  }

  /// One tensor.
  struct Entry {
    let name: String
    let type: ElementType
    let shape: Shape
    /// The range of the tensor's bytes, counted from the end of the header.
    let bytes: Range<Int>
  }

  /// The tensors in the order of their bytes, which fill the rest of the file.
  let entries: [Entry]
  /// The header's `__metadata__`.
  let metadata: [String: String]

  /// The longest header that is read, in bytes, as in the reader of the format's authors.
  static let limit = 100_000_000
  /// The most axes, as in PyTorch.
  static let mostAxes = 64

  /// The length of the header of a file of `fileSize` bytes that begins with `start`.
  static func length(_ start: [UInt8], fileSize: Int, path: String) throws(StateError) -> Int {
    guard start.count == 8, fileSize >= 8 else {
      throw HeaderScanner.wrong(path, "\(fileSize) bytes")
    }
    let length = start.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(fileSize - 8) else {
      throw HeaderScanner.wrong(
        path, "the header is said to have \(length) bytes, but the file has only \(fileSize)")
    }
    guard length <= UInt64(limit) else {
      throw HeaderScanner.wrong(
        path, "the header has \(length) bytes, expected no more than \(limit)")
    }
    return Int(length)
  }

  /// Reads the header `json`, which `bodySize` bytes follow.
  init(_ json: [UInt8], bodySize: Int, path: String) throws(StateError) {
    guard json.first == UInt8(ascii: "{") else {
      throw HeaderScanner.wrong(path, "the header does not begin with \"{\"")
    }
    var entries: [Entry] = []
    var metadata: [String: String] = [:]
    var scanner = HeaderScanner(json, path: path)
    try scanner.object { scanner, name throws(StateError) in
      if name == "__metadata__" {
        try scanner.object { scanner, key throws(StateError) in metadata[key] = try scanner.text() }
      } else {
        entries.append(try Self.entry(name, &scanner, path))
      }
    }
    try scanner.expectEnd()
    entries.sort {
      ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
    }
    var end = 0
    for entry in entries {
      guard entry.bytes.upperBound <= bodySize else {
        throw HeaderScanner.wrong(
          path, "\(HeaderScanner.shown(entry.name)) lies outside of the file")
      }
      guard entry.bytes.lowerBound == end else {
        throw HeaderScanner.wrong(path, "tensors overlap or leave a hole at byte \(end)")
      }
      end = entry.bytes.upperBound
    }
    guard end == bodySize else {
      throw HeaderScanner.wrong(path, "\(bodySize - end) bytes belong to no tensor")
    }
    (self.entries, self.metadata) = (entries, metadata)
  }

  private static func entry(_ name: String, _ scanner: inout HeaderScanner, _ path: String)
    throws(StateError) -> Entry
  {
    let shown = HeaderScanner.shown(name)
    func wrong(_ problem: String) -> StateError {
      HeaderScanner.wrong(path, "\(shown) \(problem)")
    }
    guard isPlain(name) else {
      throw wrong("is not a tensor name: it has a control character, a leading slash or a \"..\"")
    }
    var (type, extents, offsets): (String?, [Int]?, [Int]?) = (nil, nil, nil)
    try scanner.object { scanner, field throws(StateError) in
      switch field {
      case "dtype": type = try scanner.text()
      case "shape": extents = try scanner.wholeNumbers(most: mostAxes)
      case "data_offsets": offsets = try scanner.wholeNumbers(most: 2)
      default:
        throw wrong(
          "has a field \(HeaderScanner.shown(field)), expected dtype, shape and data_offsets")
      }
    }
    guard let type, let extents, let offsets, offsets.count == 2 else {
      throw wrong("has no dtype, shape and two data_offsets")
    }
    guard let elementType = ElementType(rawValue: type) else {
      let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw wrong("has type \(HeaderScanner.shown(type)), expected one of \(known)")
    }
    guard offsets[0] <= offsets[1] else {
      throw wrong("ends at byte \(offsets[1]), before its beginning at \(offsets[0])")
    }
    // An extent of 0 makes a tensor empty, but the product of its other extents must not overflow.
    var most = elementType.size
    for extent in extents where extent > 0 {
      let (product, overflow) = most.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw wrong("has extents \(extents), whose product overflows") }
      most = product
    }
    let needed = extents.contains(0) ? 0 : most
    guard needed == offsets[1] - offsets[0] else {
      throw wrong("has \(offsets[1] - offsets[0]) bytes, but its extents \(extents) need \(needed)")
    }
    return Entry(
      name: name, type: elementType, shape: Shape(extents), bytes: offsets[0]..<offsets[1])
  }

  /// Whether a name can be printed, and is safe if something is named after it.
  private static func isPlain(_ name: String) -> Bool {
    let parts = name.utf8.split(omittingEmptySubsequences: false) {
      $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\")
    }
    return !name.unicodeScalars.contains { $0.properties.generalCategory == .control }
      && !parts.contains { $0.elementsEqual("..".utf8) }
      && (parts.count == 1 || !parts[0].isEmpty)
  }
}
