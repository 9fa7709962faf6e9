import Glibc
import LockstepCollectives
import Synchronization

/// Lets ranks begin `MPI_Finalize` only after each has returned from its last collective.
///
/// MPICH over UCX and TCP needs that. In `MPI_Finalize` a rank waits until every other rank has answered it,
/// and then, answering nobody, until all have come that far. Say that rank 1 answers rank 0 while it is still
/// in its last collective. Rank 0 goes on and answers nobody, so rank 1 waits forever for the answer to what
/// it asks next, in its own `MPI_Finalize` (pmodels/mpich, pull request 6596).
///
/// No message of MPI can tell that its receiver has left MPI, so ranks use datagrams: each tells rank 0 that
/// it has returned, and rank 0 tells all when all have.
package final class Departure: Sendable {
  /// How long to wait before an unanswered message is sent again, in nanoseconds.
  private static let again: UInt64 = 50_000_000

  private let (rank, ranks): (Int, Int)
  private let patience: UInt64
  /// The ranks that have returned, as rank 0 knows.
  private let returned = Mutex<Set<Int>>([])
  private let allHaveReturned = Atomic<Bool>(false)

  /// Creates what rank `rank` of `ranks` needs, which waits for at most `patience` nanoseconds: datagrams may
  /// not get through.
  package init(rank: Int, ranks: Int, patience: UInt64 = 2_000_000_000) {
    (self.rank, self.ranks, self.patience) = (rank, ranks, patience)
  }

  /// Returns when all ranks have returned from their last collective, as this one has, or when its patience
  /// ends.
  ///
  /// - Parameter send: Sends a message of a kind to a rank.
  package func await(send: (StatusMessage.Kind, Int) -> Void) {
    if rank == 0 { hasReturned(0, send: send) }
    let begin = monotonicNanoseconds()
    var sent: UInt64 = 0
    while !allHaveReturned.load(ordering: .acquiring) {
      let now = monotonicNanoseconds()
      guard now - begin < patience else { return }
      if rank > 0, now - sent >= Self.again {
        sent = now
        send(.returned, 0)
      }
      usleep(200)
    }
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
