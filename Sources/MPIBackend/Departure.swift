import Glibc
import LockstepCollectives
import Synchronization

/// Lets ranks begin `MPI_Finalize` only after each has returned from its last collective.
///
/// MPICH over UCX and TCP needs that. In `MPI_Finalize` a rank flushes its connections, for which every other
/// rank has to answer, and then waits in the launcher's (PMI) barrier, where it answers nobody. If rank 1
/// answers rank 0's flush from inside its last collective, rank 0 goes on to the barrier, and rank 1's own
/// flush is never answered (pmodels/mpich, pull request 6596).
///
/// No message of MPI can tell that its receiver has left MPI, so ranks use datagrams: each tells rank 0 that
/// it has returned, and rank 0 tells all when all have.
package final class Departure: Sendable {
  /// The most time between two looks that counts as waiting, in nanoseconds: a stopped process waits for
  /// nothing.
  private static let longestLook: UInt64 = 10_000_000
  /// The time that rank 0 gets for each rank's message, in nanoseconds.
  private static let share: UInt64 = 50_000

  private let (rank, ranks): (Int, Int)
  /// How long to wait in all, in nanoseconds: datagrams may not get through.
  private let patience: UInt64
  /// How long to wait before an unanswered message is sent again, in nanoseconds.
  private let again: UInt64
  /// The ranks that have returned, as rank 0 knows.
  private let returned = Mutex<Set<Int>>([])
  private let allHaveReturned = Atomic<Bool>(false)

  /// Creates what rank `rank` of `ranks` needs, which waits for `patience` nanoseconds, or longer where there
  /// are very many ranks.
  package init(rank: Int, ranks: Int, patience: UInt64 = 5_000_000_000) {
    (self.rank, self.ranks) = (rank, ranks)
    again = max(50_000_000, UInt64(ranks) * Self.share)
    self.patience = max(patience, 10 * UInt64(ranks) * Self.share)
  }

  /// Returns when all ranks have returned from their last collective, as this one has, or when its patience
  /// ends.
  ///
  /// - Parameter send: Sends a message of a kind to a rank.
  /// - Returns: Whether all ranks have returned.
  @discardableResult
  package func waitForAll(send: (StatusMessage.Kind, Int) -> Void) -> Bool {
    if rank == 0 { hasReturned(0, send: send) }
    // All ranks come here at once; their messages do not.
    var next = UInt64(rank) * Self.share
    var (waited, look): (UInt64, UInt64) = (0, monotonicNanoseconds())
    while !allHaveReturned.load(ordering: .acquiring) {
      guard waited < patience else { return false }
      if rank > 0, waited >= next {
        next = waited + again
        send(.returned, 0)
      }
      usleep(200)
      let now = monotonicNanoseconds()
      waited += min(now - look, Self.longestLook)
      look = now
    }
    return true
  }

  /// Takes a message of kind `returned` or `allReturned`, on the thread that receives messages.
  package func take(_ message: StatusMessage, send: (StatusMessage.Kind, Int) -> Void) {
    if message.kind == .allReturned {
      allHaveReturned.store(true, ordering: .releasing)
    } else if rank == 0 {
      hasReturned(message.sender, send: send)
    }
  }

  private func hasReturned(_ sender: Int, send: (StatusMessage.Kind, Int) -> Void) {
    let (isNew, count) = returned.withLock { ($0.insert(sender).inserted, $0.count) }
    guard count == ranks else { return }
    allHaveReturned.store(true, ordering: .releasing)
    // A rank that says it again has not got the answer.
    for other in isNew ? 1..<ranks : sender..<sender + 1 { send(.allReturned, other) }
  }
}
