import LockstepCollectives
import LockstepTensors
import Testing

/// Where MPI would hang or add up garbage, thread ranks throw, on every rank.
@Suite struct FailingRanksTests {
  private struct Gone: Error {}

  /// Two ways for ranks to disagree: what rank 0 does, and what the others do.
  private enum Mismatch: String, CaseIterable {
    case count, type, operation, root, begun

    func run(_ ranks: ThreadCommunicator) throws {
      let isFirst = ranks.rank == 0
      var (floats, doubles): ([Float], [Double]) = ([1, 2], [1, 2])
      switch self {
      case .count:
        var values = isFirst ? [1.0] : [1.0, 2.0]
        try ranks.sum(&values)
      case .type: try isFirst ? ranks.sum(&floats) : ranks.sum(&doubles)
      case .operation: try isFirst ? ranks.sum(&doubles) : ranks.barrier()
      case .root: try ranks.broadcast(&floats, from: isFirst ? 0 : 1)
      case .begun:
        if isFirst {
          try ranks.sum(&doubles)
        } else {
          _ = try begunSum(doubles, over: ranks)
        }
      }
    }
  }

  @Test(arguments: Mismatch.allCases)
  private func collectivesThatDoNotMatchThrowOnAllRanks(mismatch: Mismatch) throws {
    let errors = try withThreadRanks(3) { ranks in
      try communicationError { try mismatch.run(ranks) }
    }
    for (rank, error) in errors.enumerated() {
      let error = try #require(error, "rank \(rank) noticed nothing")
      #expect(error.reason.contains("on another rank"), "\(error)")
    }
  }

  @Test func oneRanksErrorEndsTheOthersCollectives() throws {
    #expect(throws: Gone.self, "the first error is the one that is told") {
      _ = try withThreadRanks(3) { ranks in
        if ranks.rank == 1 { throw Gone() }
        try ranks.barrier()
      }
    }
  }

  @Test func anErrorReachesCollectivesOfAPart() throws {
    let (hasPart, wasTold) = (SharedCount(), SharedCount())
    #expect(throws: Gone.self) {
      _ = try withThreadRanks(3) { ranks in
        let part = try ranks.split(color: ranks.rank == 0 ? 0 : 1, key: 0)
        if ranks.rank == 2 {
          while hasPart.value == 0 {}
          throw Gone()
        }
        guard ranks.rank == 1 else { return }
        hasPart.increment()
        // Rank 2, the other one of this part, never comes.
        let error = try communicationError { try part.barrier() }
        if error?.reason.contains("rank 2 threw") == true { wasTold.increment() }
      }
    }
    #expect(wasTold.value == 1, "the rank that waits in the part is told who threw")
  }
}
