import Foundation
import LockstepFiles
import Synchronization

/// Keeps other processes from writing into the same run directory.
///
/// The kernel releases the lock when the process that holds it ends, in whatever way. On file systems without
/// locks on folders, such as some network file systems, there is no lock.
final class RunLock: Sendable {
  /// How long to wait for another run to end, in seconds: ranks live on for a moment after their mpirun was
  /// killed.
  private static let patience = 5.0

  /// The open folder; nil once the lock is released.
  private let folder: Mutex<CInt?>

  /// Takes the lock of the run directory at `path`.
  ///
  /// - Throws: ``ConfigurationError`` if another run holds it.
  init(_ path: String) throws(ConfigurationError) {
    let opened = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    folder = Mutex(opened < 0 ? nil : opened)
    let deadline = Date().addingTimeInterval(Self.patience)
    while opened >= 0, flock(opened, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
      guard Date() < deadline else {
        throw ConfigurationError(
          path,
          "another process is writing this run; wait until it has ended, or name another directory with "
            + "--run-dir")
      }
      Thread.sleep(forTimeInterval: 0.1)
    }
  }

  deinit { release() }

  /// Releases the lock.
  func release() {
    folder.withLock { folder in
      if let folder { close(folder) }
      folder = nil
    }
  }
}
