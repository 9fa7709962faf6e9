import LockstepCollectives
import LockstepTensors
import Testing

@Suite struct ThreadRanksTests {
  @Test(arguments: 1...4)
  func aSumIsTheSameBitsOnEveryRank(size: Int) throws {
    // Summed in any other order than the ranks', these differ in the last bit.
    let results = try withThreadRanks(size) { ranks in
      var values = (0..<50).map { 1 / Float(ranks.rank * 50 + $0 + 1) }
      try ranks.sum(&values)
      return values
    }
    let expected = (0..<50).map { i in
      var sum: Float = 0
      for rank in 0..<size { sum += 1 / Float(rank * 50 + i + 1) }
      return sum
    }
    for (rank, values) in results.enumerated() {
      #expect(values == expected, "rank \(rank) of \(size)")
    }
  }

  @Test func sumsTakeEveryKindOfScalar() throws {
    let results = try withThreadRanks(3) { ranks in
      var (doubles, integers, bytes) = ([0.5], [Int64(ranks.rank) << 40], [UInt8(ranks.rank)])
      try ranks.sum(&doubles)
      try ranks.sum(&integers)
      try ranks.sum(&bytes)
      return doubles == [1.5] && integers == [3 << 40] && bytes == [3]
    }
    #expect(results == [true, true, true])
  }

  @Test(arguments: 0..<3)
  func aBroadcastGivesTheRootsValues(root: Int) throws {
    let results = try withThreadRanks(3) { ranks in
      var values = [Int64(ranks.rank), 10 * Int64(ranks.rank)]
      try ranks.broadcast(&values, from: root)
      let text = try ranks.broadcast(String(repeating: "é", count: ranks.rank), from: root)
      return "\(values) \(text)"
    }
    let expected = "[\(root), \(10 * root)] \(String(repeating: "é", count: root))"
    #expect(results == Array(repeating: expected, count: 3))
  }

  @Test func gatheringKeepsEveryRanksOwnCount() throws {
    let results = try withThreadRanks(4) { ranks in
      let mine = Array(repeating: Float(ranks.rank), count: ranks.rank)
      let atRoot = try ranks.gather(mine, to: 2)
      return (atRoot, try ranks.allGather(mine), try ranks.allGather("rank \(ranks.rank)"))
    }
    let expected: [[Float]] = [[], [1], [2, 2], [3, 3, 3]]
    for (rank, (atRoot, everywhere, texts)) in results.enumerated() {
      #expect(atRoot == (rank == 2 ? expected : nil), "the gather on rank \(rank)")
      #expect(everywhere == expected, "the all-gather on rank \(rank)")
      #expect(texts == ["rank 0", "rank 1", "rank 2", "rank 3"])
    }
  }

  @Test func severalSumsInFlightKeepToTheirOrder() throws {
    let results = try withThreadRanks(3) { ranks in
      let addends = (1...4).map { Storage([Double](repeating: Double($0), count: $0)) }
      let first = try ranks.beginSum(addends[0])
      let second = try ranks.beginSum(addends[1])
      let dropped = try ranks.beginSum(addends[3])
      let third = try ranks.beginSum(addends[2])
      // A blocking sum overtakes those in flight, which are waited for out of order.
      let between = try begunSum([7], over: ranks)
      _ = consume dropped
      let (c, a, b) = (try third.wait(), try first.wait(), try second.wait())
      return [between, a.copy(0..<1), b.copy(0..<2), c.copy(0..<3)]
    }
    for result in results { #expect(result == [[21], [3], [6, 6], [9, 9, 9]]) }
  }

  @Test func testingASumSaysWhenItIsThere() throws {
    let results = try withThreadRanks(2) { ranks in
      let signal = try ranks.duplicate()
      guard ranks.rank == 0 else {
        try signal.barrier()
        return try begunSum([1], over: ranks) == [2]
      }
      let pending = try ranks.beginSum(Storage([1.0]))
      let early = try pending.test()
      // The other rank begins its sum only after this.
      try signal.barrier()
      while try !pending.test() {}
      let sum = try pending.wait()[0]
      return !early && sum == 2
    }
    #expect(results == [true, true])
  }

  @Test func noRankPassesABarrierBeforeTheLastHasReachedIt() throws {
    let arrivals = SharedCount()
    let seen = try withThreadRanks(4) { ranks in
      arrivals.increment()
      try ranks.barrier()
      return arrivals.value
    }
    #expect(seen == [4, 4, 4, 4])
  }

  @Test func splitRanksAreOrderedByKeyAndKeepToThemselves() throws {
    let results = try withThreadRanks(5) { ranks in
      let part = try ranks.split(color: ranks.rank % 2, key: -ranks.rank)
      var sum = [Int64(ranks.rank)]
      try part.sum(&sum)
      return [part.rank, part.size, Int(sum[0])]
    }
    #expect(results == [[2, 3, 6], [1, 2, 4], [1, 3, 6], [0, 2, 4], [0, 3, 6]])
  }

  @Test func aDuplicatesMessagesAreItsOwn() throws {
    let results = try withThreadRanks(2) { ranks in
      let other = try ranks.duplicate()
      // Each rank begins on the two in another order: nothing is mixed up, nobody waits.
      let (mine, its) = (Storage([1.0]), Storage([10.0]))
      let (a, b): (Double, Double)
      if ranks.rank == 0 {
        let first = try ranks.beginSum(mine)
        let second = try other.beginSum(its)
        (a, b) = (try first.wait()[0], try second.wait()[0])
      } else {
        let second = try other.beginSum(its)
        let first = try ranks.beginSum(mine)
        (a, b) = (try first.wait()[0], try second.wait()[0])
      }
      return [a, b, Double(ranks.traffic.collectives), Double(other.traffic.collectives)]
    }
    #expect(results == [[2, 20, 1, 1], [2, 20, 1, 1]], "and each counts its own traffic")
  }
}
