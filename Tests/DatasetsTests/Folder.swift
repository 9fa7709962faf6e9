import Foundation
import LockstepDatasets
import LockstepTensors
import Spawning
import Testing

/// A temporary folder that goes with the value's last use.
final class Folder {
  /// Where it is.
  let path: String

  /// Makes an empty folder.
  init() throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("lockstep-tests-\(UUID().uuidString)")
    path = url.path
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file.
  func write(_ bytes: [UInt8], to name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }

  /// The bytes of a file.
  func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
  }

  /// Replaces a file by its gzip form, whose name ends in `.gz`.
  func compress(_ name: String) throws {
    let gzip = try ChildProcess(["gzip", "\(path)/\(name)"])
    defer { gzip.stop() }
    try #require(gzip.wait(seconds: 60) == 0, "gzip \(name)")
  }
}

/// Expects `body` to throw a `DatasetError` of a path and a problem that contain `path` and every
/// one of `words`.
func expectError(
  at path: String, saying words: [String], sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Void
) {
  do {
    try body()
    Issue.record("nothing was thrown, expected \(words)", sourceLocation: sourceLocation)
  } catch let error as DatasetError {
    #expect(error.path.hasSuffix(path), "\(error)", sourceLocation: sourceLocation)
    for word in words {
      #expect(
        error.problem.contains(word), "\"\(error)\" does not say \"\(word)\"",
        sourceLocation: sourceLocation)
    }
  } catch {
    Issue.record(error, sourceLocation: sourceLocation)
  }
}

extension Batch {
  var parts: (input: Tensor, labels: Storage<Int32>) { (input, labels) }
}
