public import Foundation

/// A file that cannot be written.
public struct OutputError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file.
  public let path: String
  /// Why not.
  public let reason: String

  /// The place and the reason.
  public var description: String { "\(path): cannot be written: \(reason)" }
}

/// A file that is written piece by piece and appears under its name when it is whole, in the place of
/// what was there.
public final class OutputFile {
  private let path: String
  private let temporary: String
  private let file: FileHandle
  private var isFinished = false
  /// The bytes so far.
  public private(set) var size = 0

  /// Begins a file that will be at `path`.
  ///
  /// - Throws: ``OutputError``.
  public init(path: String) throws(OutputError) {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    guard FileManager.default.fileExists(atPath: folder) else {
      throw OutputError(path: path, reason: "there is no folder \(folder)")
    }
    self.path = path
    temporary = "\(path).\(UUID().uuidString).partial"
    do {
      try Data().write(to: URL(fileURLWithPath: temporary))
      file = try FileHandle(forWritingTo: URL(fileURLWithPath: temporary))
    } catch {
      throw Self.error(path, error)
    }
  }

  deinit {
    if !isFinished { try? FileManager.default.removeItem(atPath: temporary) }
  }

  /// Adds bytes.
  public func write(_ data: Data) throws(OutputError) {
    do { try file.write(contentsOf: data) } catch { throw Self.error(path, error) }
    size += data.count
  }

  /// Ends the file and gives it its name.
  public func finish() throws(OutputError) {
    do {
      try file.synchronize()
      try file.close()
    } catch {
      throw Self.error(path, error)
    }
    guard unsafe rename(temporary, path) == 0 else {
      throw OutputError(path: path, reason: unsafe String(cString: strerror(errno)))
    }
    isFinished = true
  }

  private static func error(_ path: String, _ error: any Error) -> OutputError {
    let cocoa = error as NSError
    let cause = cocoa.userInfo[NSUnderlyingErrorKey] as? NSError
    return OutputError(path: path, reason: (cause ?? cocoa).localizedDescription)
  }
}
