import CZlib
import Foundation

/// Reads a whole file, and inflates it if it is gzip and `inflating` is true.
func fileContents(_ path: String, inflating: Bool = true) throws(DatasetError) -> [UInt8] {
  let data: Data
  do {
    data = try Data(contentsOf: URL(fileURLWithPath: path))
  } catch {
    var isFolder: ObjCBool = false
    let exists = unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    let reason = !exists ? "no such file" : isFolder.boolValue ? "is a folder" : "cannot be read"
    throw DatasetError(path, reason)
  }
  let bytes = [UInt8](data)
  return inflating && bytes.starts(with: [0x1f, 0x8b]) ? try inflated(bytes, path) : bytes
}

/// The contents of gzip data, of one member or several.
///
/// Zeros may follow the last one, as tapes and block devices leave them; gunzip skips them too.
func inflated(_ bytes: [UInt8], _ path: String) throws(DatasetError) -> [UInt8] {
  // A small file may inflate to any size.
  let limit = 1 << 32
  var output: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 18)
  var stream = unsafe z_stream()
  guard unsafe czlib_inflate_init_gzip(&stream) == Z_OK else {
    throw DatasetError(path, "zlib cannot begin to inflate")
  }
  defer { _ = unsafe inflateEnd(&stream) }
  var input = bytes
  var position = 0
  while true {
    // zlib counts in 32 bits.
    let inputCount = min(input.count - position, 1 << 30)
    let (status, used, made) = unsafe input.withUnsafeMutableBufferPointer { source in
      unsafe chunk.withUnsafeMutableBufferPointer { target in
        unsafe stream.next_in = source.baseAddress.map { unsafe $0 + position }
        unsafe stream.avail_in = uInt(inputCount)
        unsafe stream.next_out = target.baseAddress
        unsafe stream.avail_out = uInt(target.count)
        let status = unsafe inflate(&stream, Z_NO_FLUSH)
        return unsafe (
          status, inputCount - Int(stream.avail_in), target.count - Int(stream.avail_out)
        )
      }
    }
    position += used
    output += chunk[..<made]
    guard output.count <= limit else {
      throw DatasetError(path, "inflates to more than \(limit) bytes")
    }
    switch status {
    case Z_STREAM_END:
      position = input[position...].firstIndex { $0 != 0 } ?? input.count
      if position == input.count { return output }
      guard unsafe inflateReset(&stream) == Z_OK, input[position...].starts(with: [0x1f, 0x8b])
      else {
        throw DatasetError(path, "\(input.count - position) bytes follow the end of the gzip data")
      }
    case Z_OK:
      if used == 0 && made == 0 { throw DatasetError(path, "the gzip data end too early") }
    case Z_BUF_ERROR: throw DatasetError(path, "the gzip data end too early")
    default: throw DatasetError(path, "the gzip data are damaged (zlib status \(status))")
    }
  }
}

/// Whether there is a file or folder at `path`.
func fileExists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
