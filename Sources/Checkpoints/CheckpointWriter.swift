import Dispatch
import Foundation
import Synchronization

/// Writes checkpoints while training goes on, one at a time.
package final class CheckpointWriter: Sendable {
  private let folder: CheckpointFolder
  private let keep: Int
  private let queue = DispatchQueue(label: "checkpoints")
  private let group = DispatchGroup()
  private let state = Mutex(State())

  private struct State {
    package var newest: Int?
    package var written = 0
    var problem: String?
  }

  /// Creates a writer into `folder` that keeps `keep` checkpoints; `newest` is the last good one's step.
  package init(_ folder: CheckpointFolder, keep: Int, newest: Int?) {
    (self.folder, self.keep) = (folder, keep)
    state.withLock { $0.newest = newest }
  }

  /// Begins to write a checkpoint, and returns at once.
  ///
  /// First, what was written to the open file `metrics` is brought to the disk. Afterwards the checkpoints
  /// of the steps `best` are kept besides the newest. Call ``wait()`` for the previous checkpoint before.
  package func begin(_ checkpoint: Checkpoint, best: Set<Int>, metrics: CInt) {
    queue.async(group: group) { [self] in
      fsync(metrics)
      do {
        try folder.write(checkpoint, keep: keep, best: best)
        state.withLock {
          $0.newest = checkpoint.step
          $0.written += 1
        }
      } catch {
        state.withLock { $0.problem = "\(error)" }
      }
    }
  }

  /// Waits until nothing is being written.
  ///
  /// - Returns: why the last checkpoint could not be written; nil if it could, or if this was returned
  ///   before.
  package func wait() -> String? {
    group.wait()
    return state.withLock { state in
      defer { state.problem = nil }
      return state.problem
    }
  }

  /// Whether a checkpoint is still being written after a given number of seconds.
  package func isBusy(after seconds: Double = 0) -> Bool {
    group.wait(timeout: .now() + seconds) == .timedOut
  }

  /// The step of the newest good checkpoint, if there is one.
  package var newest: Int? { state.withLock { $0.newest } }

  /// How many checkpoints were written.
  package var written: Int { state.withLock { $0.written } }
}
