import LockstepCollectives
import LockstepTensors
import Testing

@Suite struct TrafficTests {
  /// What rank 1 of 2 counts while `body` runs on both.
  private func traffic(_ body: @escaping @Sendable (ThreadCommunicator) throws -> Void) throws
    -> Traffic
  {
    try withThreadRanks(2) { ranks in
      try ranks.barrier()
      let before = ranks.traffic
      try body(ranks)
      return ranks.traffic - before
    }[1]
  }

  @Test func everyCollectiveCountsOnceWithTheBytesGivenToIt() throws {
    let sum = try traffic { ranks in
      var values = [Double](repeating: 1, count: 5)
      try ranks.sum(&values)
    }
    #expect(sum.collectives == 1 && sum.bytes == 40)
    let begun = try traffic { _ = try begunSum([1, 2, 3], over: $0) }
    #expect(begun.collectives == 1 && begun.bytes == 24, "waiting is not another collective")
    let gathered = try traffic { ranks in
      _ = try ranks.allGather([Float](repeating: 0, count: ranks.rank * 3))
    }
    #expect(gathered.collectives == 1 && gathered.bytes == 12, "this rank's own bytes")
    let barrier = try traffic { try $0.barrier() }
    #expect(barrier.collectives == 1 && barrier.bytes == 0)
  }

  @Test func waitingForAnotherRankIsBlockedTime() throws {
    let times = try withThreadRanks(2) { ranks in
      let start = monotonicNanoseconds()
      try ranks.barrier()
      return (ranks.traffic.blockedNanoseconds, Int(monotonicNanoseconds() - start))
    }
    for (blocked, whole) in times {
      #expect(blocked > 0 && blocked <= whole, "blocked for \(blocked) of \(whole) ns")
    }
  }

  @Test func trafficAddsUpAndSubtracts() {
    var (a, b) = (Traffic(), Traffic())
    (a.collectives, a.bytes, a.blockedNanoseconds) = (1, 20, 300)
    (b.collectives, b.bytes, b.blockedNanoseconds) = (4, 50, 600)
    #expect((a + b) - b == a && (b - a).bytes == 30)
  }
}

@Suite struct SoloTests {
  @Test func everyCollectiveIsTheIdentityAndCountsNothing() throws {
    let solo = Solo()
    var values = [1.0, 2.0]
    try solo.sum(&values)
    try solo.broadcast(&values, from: 0)
    #expect(values == [1, 2])
    #expect(try begunSum(values, over: solo) == [1, 2])
    #expect(solo.allGather(values) == [[1, 2]] && solo.gather(values, to: 0) == [[1, 2]])
    #expect(solo.traffic == Traffic() && solo.split(color: 3, key: 1).size == 1)
  }

  @Test func aBegunSumHasMemoryOfItsOwn() throws {
    let addends = Storage([1.0])
    let sums = try Solo().beginSum(addends).wait()
    addends[0] = 5
    #expect(sums[0] == 1, "the sums changed with the addends")
  }
}
