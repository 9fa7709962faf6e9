import Foundation
import LockstepCollectives
import LockstepMPIBackend
import Synchronization
import Testing

/// How ranks agree, by messages that may be lost, that all have returned from their last collective.
struct DepartureTests {
  /// The ranks of a job, here threads, of whose messages some are lost.
  private final class Job: Sendable {
    let departures: [Departure]
    private let sent = Mutex<[StatusMessage.Kind: Int]>([:])
    private let lost: Int

    /// Creates a job that loses the first `lost` messages of each kind.
    init(ranks: Int, patience: UInt64, lost: Int) {
      departures = (0..<ranks).map { Departure(rank: $0, ranks: ranks, patience: patience) }
      self.lost = lost
    }

    func send(_ kind: StatusMessage.Kind, from rank: Int, to other: Int) {
      let isLost = sent.withLock { sent in
        sent[kind, default: 0] += 1
        return sent[kind, default: 0] <= lost
      }
      guard !isLost else { return }
      departures[other].take(StatusMessage(kind, from: rank)) { send($0, from: other, to: $1) }
    }

    /// Has each rank wait for the others between `before` and `after`.
    ///
    /// - Returns: For each rank whether it knows that all have returned.
    func run(
      before: @escaping @Sendable (Int) -> Void, after: @escaping @Sendable (Int) -> Void
    ) throws -> [Bool] {
      try withThreadRanks(departures.count) { ranks in
        let rank = ranks.rank
        before(rank)
        let all = self.departures[rank].waitForAll { self.send($0, from: rank, to: $1) }
        after(rank)
        return all
      }
    }
  }

  private final class Count: Sendable {
    private let value = Atomic(0)
    var now: Int { value.load(ordering: .sequentiallyConsistent) }
    func increment() { value.add(1, ordering: .sequentiallyConsistent) }
  }

  @Test(arguments: [2, 4], [0, 1, 5])
  func noRankGoesOnBeforeAllHaveReturned(ranks: Int, lost: Int) throws {
    for late in 0..<ranks {
      let job = Job(ranks: ranks, patience: 300_000_000_000, lost: lost)
      let returned = Count()
      let know = try job.run { rank in
        if rank == late { usleep(20_000) }
        returned.increment()
      } after: { rank in
        #expect(returned.now == ranks, "rank \(rank)")
      }
      #expect(know.allSatisfy { $0 })
    }
  }

  @Test func ranksThatHearNothingGoOn() throws {
    let job = Job(ranks: 3, patience: 100_000_000, lost: .max)
    let know = try job.run { _ in
    } after: { _ in
    }
    #expect(know == [false, false, false])
  }
}
