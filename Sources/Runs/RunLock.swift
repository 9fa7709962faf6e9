import Foundation
import LockstepFiles
import Synchronization

/// Keeps other processes from writing into the same run directory.
///
/// The kernel gives it up with the process that holds it, however that ends. File systems without locks
/// on folders, as some networks', have none: nothing is held there.
final class RunLock: Sendable {
  /// How long a run is waited for that may be about to end, in seconds: the ranks of one whose mpirun was
  /// killed live on for a moment.
  private static let patience = 5.0

  /// The open folder; nil once the lock is given up.
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

  /// Gives the lock up.
  func release() {
    folder.withLock { folder in
      if let folder { close(folder) }
      folder = nil
    }
  }
}
