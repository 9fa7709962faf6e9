public import Foundation
public import LockstepFiles
import LockstepTensors

extension SafetensorsFile {
  /// Reads a file.
  ///
  /// The header is checked first, against the size of the file. A file larger than the machine's memory
  /// is refused.
  ///
  /// - Throws: ``StateError`` that says what is wrong with the file.
  public init(path: String) throws(StateError) {
    let (handle, size) = try Self.open(path)
    defer { try? handle.close() }
    try self.init(size: size, path: path) { count throws(StateError) in
      try Self.read(count, of: handle, path: path)
    }
  }

  /// The bytes of a file, whose header is checked before the rest is read.
  ///
  /// - Throws: ``StateError`` that says what is wrong with the file.
  package static func contents(path: String) throws(StateError) -> Data {
    let (handle, size) = try open(path)
    defer { try? handle.close() }
    var bytes = Data()
    _ = try header(size: size, path: path) { count throws(StateError) in
      let next = try read(count, of: handle, path: path)
      bytes += next
      return next
    }
    return bytes + (try read(size - bytes.count, of: handle, path: path))
  }

  private static func read(_ count: Int, of handle: FileHandle, path: String) throws(StateError)
    -> Data
  {
    guard let data = try? handle.read(upToCount: count) ?? Data(), data.count == count else {
      throw StateError(description: "\(path): cannot be read")
    }
    return data
  }

  /// Opens a regular file, and says how many bytes it has.
  private static func open(_ path: String) throws(StateError) -> (FileHandle, size: Int) {
    let unreadable = StateError(description: "\(path): cannot be read")
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    guard let attributes = try? FileManager.default.attributesOfItem(atPath: target) else {
      let exists = FileManager.default.fileExists(atPath: path)
      throw exists ? unreadable : StateError(description: "\(path): no such file")
    }
    guard attributes[.type] as? FileAttributeType == .typeRegular,
      let size = attributes[.size] as? Int
    else { throw StateError(description: "\(path): is a folder, a pipe or a device, not a file") }
    guard let handle = FileHandle(forReadingAtPath: target) else { throw unreadable }
    return (handle, size)
  }

  /// Decodes a file's bytes; `path` is for messages.
  ///
  /// - Throws: ``StateError`` that says what is wrong with them.
  public init(_ data: Data, path: String) throws(StateError) {
    var rest = data[...]
    try self.init(size: data.count, path: path) { count throws(StateError) in
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
  }

  /// The most that is read at once, in bytes, so that a large tensor is not in memory twice.
  private static let chunk = 16 << 20

  /// Checks the header of `size` bytes, which `next` hands out piece by piece.
  private static func header(
    size: Int, path: String, next: (Int) throws(StateError) -> Data
  ) throws(StateError) -> SafetensorsHeader {
    let length = try SafetensorsHeader.length(
      [UInt8](try next(min(size, 8))), fileSize: size, path: path)
    let header = try SafetensorsHeader(
      [UInt8](try next(length)), bodySize: size - 8 - length, path: path)
    let memory = ProcessInfo.processInfo.physicalMemory
    guard UInt64(size) < memory else {
      throw StateError(
        description: "\(path): has \(size) bytes, but this machine's memory only \(memory)")
    }
    return header
  }

  /// Decodes `size` bytes, which `next` hands out piece by piece.
  private init(
    size: Int, path: String, next: (Int) throws(StateError) -> Data
  ) throws(StateError) {
    let header = try Self.header(size: size, path: path, next: next)
    /// The elements of the next tensor.
    func elements<Element: BitwiseCopyable>(
      _ count: Int, _: Element.Type
    ) throws(StateError) -> Storage<Element> {
      let storage = Storage<Element>(count: count)
      let bytes = count * MemoryLayout<Element>.stride
      for start in stride(from: 0, to: bytes, by: Self.chunk) {
        storage.write(bytes: try next(min(Self.chunk, bytes - start)).bytes, atByte: start)
      }
      return storage
    }
    var tensors: [String: Value] = [:]
    for entry in header.entries {
      let (shape, count) = (entry.shape, entry.shape.count)
      switch entry.type {
      case .float32:
        tensors[entry.name] = .float32(Tensor(try elements(count, Float.self), shape: shape))
      case .float64:
        tensors[entry.name] = narrowed(try elements(count, Double.self), shape) { Float($0) }
      case .float16:
        tensors[entry.name] = narrowed(try elements(count, UInt16.self), shape, float(ofHalf:))
      case .bfloat16:
        tensors[entry.name] = narrowed(try elements(count, UInt16.self), shape) {
          Float(bitPattern: UInt32($0) << 16)
        }
      case .int64:
        tensors[entry.name] = .int64(
          try elements(count, Int64.self).copy(0..<count), shape: shape)
      case .uint8:
        tensors[entry.name] = .uint8(
          try elements(count, UInt8.self).copy(0..<count), shape: shape)
      }
    }
    (self.path, self.tensors, self.metadata) = (path, tensors, header.metadata)
  }
}

/// Converts elements of another floating-point type to float32.
private func narrowed<Element: BitwiseCopyable>(
  _ elements: Storage<Element>, _ shape: Shape, _ narrow: (Element) -> Float
) -> SafetensorsFile.Value {
  let tensor = Tensor.uninitialized(shape)
  tensor.storage.withMutableSpan(tensor.range) { span in
    for i in 0..<span.count { span[i] = narrow(elements[i]) }
  }
  return .float32(tensor)
}

/// The value of an IEEE 754 half, given by its bits; Swift has no such type on x86-64.
private func float(ofHalf bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let rest = UInt32(bits & 0x7fff)
  // An exponent of all ones stays all ones. Otherwise the bias grows from 15 to 127, by a product, which
  // is right for subnormal numbers too.
  guard rest < 0x7c00 else { return Float(bitPattern: sign | 0x7f80_0000 | rest << 13) }
  return Float(bitPattern: sign | (Float(bitPattern: rest << 13) * 0x1p112).bitPattern)
}
