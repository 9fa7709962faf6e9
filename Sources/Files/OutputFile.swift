public import Foundation
import Glibc

/// A file that cannot be written.
public struct OutputError: ProgramError, Hashable, Sendable {
  /// The file.
  public let path: String
  /// Why not.
  public let reason: String
  /// Whether writing had begun, so that the path is right and something else failed.
  public let hasBegun: Bool

  /// Says that `path` cannot be written, and why.
  public init(path: String, reason: String, hasBegun: Bool = false) {
    (self.path, self.reason, self.hasBegun) = (path, reason, hasBegun)
  }

  /// The path and the reason.
  public var description: String { "\(path): cannot be written: \(reason)" }

  /// Bad input if the path is wrong; a failed run if writing had begun.
  public var exitStatus: Int32 { hasBegun ? ExitStatus.failed : ExitStatus.badInput }
}

/// A file that is written piece by piece, and gets its name only when it is complete and on the disk.
///
/// Then it replaces what was there. Until then it is a new file under a name that nobody can predict. A
/// link under that name is an error. A link under the final name is replaced, not followed.
public final class OutputFile {
  /// How the bytes get to their path.
  private enum Way {
    /// Through a new file in an open folder, which gets its name at the end.
    case replacing(folder: CInt, name: String, temporary: String)
    /// Directly, into a device or a pipe that is there.
    case direct
  }

  private let path: String
  private let way: Way
  private let file: FileHandle
  private var isFinished = false
  /// The bytes so far.
  public private(set) var size = 0

  /// Begins to write a file that will be at `path`.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - followsFolder: Whether the folder may be a symbolic link.
  ///   - expectedSize: How many bytes it will have. If the file system has no room for them, this
  ///     throws.
  /// - Throws: ``OutputError``.
  public init(path: String, followsFolder: Bool = true, expectedSize: Int = 0)
    throws(OutputError)
  {
    let url = URL(fileURLWithPath: path)
    let parent = url.deletingLastPathComponent().path
    let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (followsFolder ? 0 : O_NOFOLLOW)
    let folder = unsafe open(parent, flags)
    guard folder >= 0 else {
      throw OutputError(
        path: path,
        reason: errno == ENOENT
          ? "there is no folder \(parent)"
          : !followsFolder && errno == ENOTDIR
            ? "\(parent) is a symbolic link, or not a folder" : systemReason())
    }
    let name = url.lastPathComponent
    let temporary = "\(name).\(UUID().uuidString)\(Self.suffix)"
    if let free = freeBytes(folder), free < expectedSize {
      close(folder)
      throw OutputError(
        path: path, reason: "it takes \(expectedSize) bytes, but only \(free) are free there",
        hasBegun: true)
    }
    let created = unsafe openat(
      folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
    guard created >= 0 else {
      let error = OutputError(path: path, reason: systemReason())
      close(folder)
      throw error
    }
    self.path = path
    way = .replacing(folder: folder, name: name, temporary: temporary)
    file = FileHandle(fileDescriptor: created, closeOnDealloc: true)
  }

  /// Begins to write to a file, device or pipe that a user names.
  ///
  /// A file is replaced when the new one is complete, also if the path is a link to it. A device or pipe is
  /// written to directly.
  ///
  /// - Throws: ``OutputError``.
  public static func named(_ path: String, expectedSize: Int = 0) throws(OutputError) -> OutputFile
  {
    if let descriptor = openDescriptor(path) {
      let copy = dup(descriptor)
      guard copy >= 0 else { throw OutputError(path: path, reason: systemReason()) }
      return OutputFile(direct: copy, path: path)
    }
    guard !path.isEmpty, !path.hasSuffix("/") else {
      throw OutputError(path: "\"\(path)\"", reason: "it is not the name of a file")
    }
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      // The path may be a link to a file that does not exist yet.
      guard errno != ELOOP else { throw OutputError(path: path, reason: systemReason()) }
      var path = path
      while let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path) {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        path = URL(fileURLWithPath: target, relativeTo: folder).path
      }
      return try OutputFile(path: path, expectedSize: expectedSize)
    }
    switch status.st_mode & S_IFMT {
    case S_IFDIR: throw OutputError(path: path, reason: "it is a folder; name a file")
    case S_IFREG:
      let file = try OutputFile(
        path: URL(fileURLWithPath: path).resolvingSymlinksInPath().path, expectedSize: expectedSize)
      // The new file gets the permissions of the old one.
      fchmod(file.file.fileDescriptor, status.st_mode & 0o777)
      return file
    default:
      let opened = unsafe open(path, O_WRONLY | O_CLOEXEC)
      guard opened >= 0 else { throw OutputError(path: path, reason: systemReason()) }
      return OutputFile(direct: opened, path: path)
    }
  }

  private init(direct descriptor: CInt, path: String) {
    self.path = path
    way = .direct
    file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  /// The open file of this process that a path names, such as /dev/stdout; nil for any other path.
  private static func openDescriptor(_ path: String) -> CInt? {
    switch path {
    case "/dev/stdout": return STDOUT_FILENO
    case "/dev/stderr": return STDERR_FILENO
    default:
      let folder = ["/dev/fd/", "/proc/self/fd/"].first(where: path.hasPrefix)
      return folder.flatMap { CInt(path.dropFirst($0.count)) }
    }
  }

  /// Whether writing to `path` means writing to standard output.
  public static func isStandardOutput(_ path: String) -> Bool {
    openDescriptor(path) == STDOUT_FILENO
  }

  deinit {
    guard case .replacing(let folder, _, let temporary) = way else { return }
    if !isFinished { _ = unsafe unlinkat(folder, temporary, 0) }
    close(folder)
  }

  /// The end of the name of a file that is not complete yet.
  public static let suffix = ".partial"

  /// Whether `name` is the name of a file that was never finished.
  public static func isUnfinished(_ name: String) -> Bool {
    guard name.hasSuffix(suffix) else { return false }
    let identity = name.dropLast(suffix.count).split(separator: ".").last
    return identity.flatMap { UUID(uuidString: String($0)) } != nil
  }

  /// Appends bytes.
  public func write(_ data: Data) throws(OutputError) {
    // In pieces of 256 KiB, because bytes that a pipe has no room for are moved to the front.
    for start in stride(from: data.startIndex, to: data.endIndex, by: 1 << 18) {
      var rest = [UInt8](data[start..<min(start + 1 << 18, data.endIndex)])
      while !rest.isEmpty {
        let count = unsafe Glibc.write(file.fileDescriptor, rest, rest.count)
        guard count < 0 else {
          rest.removeFirst(count)
          continue
        }
        switch errno {
        case EINTR: continue
        case EAGAIN:
          // A nonblocking pipe that is read slowly.
          var room = pollfd(fd: file.fileDescriptor, events: Int16(POLLOUT), revents: 0)
          _ = unsafe poll(&room, 1, -1)
        default: throw OutputError(path: path, reason: systemReason(), hasBegun: true)
        }
      }
    }
    size += data.count
  }

  /// Finishes the file and gives it its name; afterwards both are on the disk.
  public func finish() throws(OutputError) {
    guard case .replacing(let folder, let name, let temporary) = way else {
      // A terminal or a pipe has no disk.
      guard fsync(file.fileDescriptor) == 0 || errno == EINVAL || errno == EROFS else {
        throw OutputError(path: path, reason: systemReason(), hasBegun: true)
      }
      do { try file.close() } catch { throw Self.error(path, error) }
      return
    }
    do {
      try file.synchronize()
      try file.close()
    } catch {
      throw Self.error(path, error)
    }
    guard unsafe renameat(folder, temporary, folder, name) == 0 else {
      throw OutputError(path: path, reason: systemReason(), hasBegun: true)
    }
    isFinished = true
    try Self.synchronize(folder, path: path)
  }

  /// Makes sure that the name of the file at `path` is on the disk.
  public static func synchronizeName(of path: String) throws(OutputError) {
    let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
    let folder = unsafe open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folder >= 0 else { throw OutputError(path: path, reason: systemReason()) }
    defer { close(folder) }
    try synchronize(folder, path: path)
  }

  private static func synchronize(_ folder: CInt, path: String) throws(OutputError) {
    // Not every file system can synchronize folders. The file itself is on the disk.
    guard fsync(folder) == 0 || errno == EINVAL else {
      throw OutputError(path: path, reason: systemReason())
    }
  }

  /// Writes a whole file at once.
  ///
  /// - Throws: ``OutputError``.
  public static func write(_ data: Data, path: String) throws(OutputError) {
    let file = try OutputFile(path: path)
    try file.write(data)
    try file.finish()
  }

  private static func error(_ path: String, _ error: any Error) -> OutputError {
    let cocoa = error as NSError
    let cause = cocoa.userInfo[NSUnderlyingErrorKey] as? NSError
    return OutputError(path: path, reason: systemReason(of: cause ?? cocoa), hasBegun: true)
  }
}

/// The system's words for the last call that failed.
private func systemReason() -> String { unsafe String(cString: strerror(errno)) }

/// The system's own words for an error of Foundation's.
package func systemReason(of error: NSError) -> String {
  guard error.domain == NSPOSIXErrorDomain else { return error.localizedDescription }
  return unsafe String(cString: strerror(CInt(error.code)))
}

/// How many bytes a user may still write to the file system of an open file; nil if it does not say.
private func freeBytes(_ file: CInt) -> Int? {
  var status = statvfs()
  // Some network file systems say that they have no blocks at all.
  guard unsafe fstatvfs(file, &status) == 0, status.f_blocks > 0 else { return nil }
  return Int(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize))
}
