import Foundation
import LockstepCollectives
import LockstepTensors
import Testing

/// Agreement on every collective before it goes out.
@Suite struct CheckedCommunicatorTests {
  /// A mismatch: what rank 1 does, and what the others do, after one collective that is right.
  enum Mismatch: String, CaseIterable {
    case skip, count, type, order

    func run(_ ranks: any Communicator) throws {
      let isWrong = ranks.rank == 1
      var (floats, doubles): ([Float], [Double]) = ([1, 2], [1, 2])
      ranks.meter.name = EventName("statistics")
      try ranks.sum(&doubles, for: .statistics(EventName("bn1"), .forward))
      let second = Purpose.statistics(EventName("bn2"), .forward)
      switch self {
      case .skip:
        if !isWrong { try ranks.sum(&doubles, for: second) }
        let backward = Purpose.statistics(EventName("bn2"), .backward)
        _ = try ranks.beginSum(Storage(doubles), for: backward).wait()
      case .count:
        if isWrong { doubles.append(3) }
        try ranks.sum(&doubles, for: second)
      case .type:
        try isWrong ? ranks.sum(&floats, for: second) : ranks.sum(&doubles, for: second)
      case .order:
        try ranks.sum(
          &doubles, for: isWrong ? .statistics(EventName("bn3"), .forward) : second)
      }
    }

    /// What rank 1 comes to.
    var wrong: String {
      switch self {
      case .skip:
        "the nonblocking all-reduce of 2 float64 for statistics of bn2, backward (number 2 on statistics)"
      case .count:
        "the all-reduce of 3 float64 for statistics of bn2, forward (number 2 on statistics)"
      case .type:
        "the all-reduce of 2 float32 for statistics of bn2, forward (number 2 on statistics)"
      case .order:
        "the all-reduce of 2 float64 for statistics of bn3, forward (number 2 on statistics)"
      }
    }
  }

  @Test func aRankThatWaitsInACheckSaysWhatItIsFor() throws {
    let activity = RankActivity()
    let texts = try withThreadRanks(2) { ranks in
      let checked = try CheckedCommunicator(ranks)
      if ranks.rank == 0 {
        checked.checks?.publish(in: activity, identity: 1, members: [0...1])
      }
      try checked.barrier()
      var values = [1.0, 2]
      var text: String?
      if ranks.rank == 1 {
        let deadline = Date().addingTimeInterval(300)
        repeat {
          text = activity.now.isWaiting ? activity.now.collective : nil
        } while text?.contains("statistics") != true && Date() < deadline
      }
      try checked.sum(&values, for: .statistics(EventName("bn2"), .backward))
      return text
    }
    #expect(
      texts[1]?.hasPrefix("the all-reduce of 2 float64 for statistics of bn2, backward (number")
        == true, "\(texts)")
  }

  @Test(arguments: Mismatch.allCases)
  func collectivesThatDoNotMatchAreNamedOnAllRanks(mismatch: Mismatch) throws {
    let errors = try withThreadRanks(4) { ranks in
      try communicationError {
        try mismatch.run(try CheckedCommunicator(ranks).duplicate())
      }
    }
    for error in errors {
      let error = try #require(error)
      #expect(error.isSharedByAllRanks)
      #expect(
        error.description == "collectives do not match: rank 1 reaches \(mismatch.wrong), where "
          + "ranks 0, 2 and 3 reach the all-reduce of 2 float64 for statistics of bn2, forward "
          + "(number 2 on statistics)")
    }
  }

  @Test func aRankThatGoesOnToAnotherCommunicatorIsFoundThere() throws {
    let errors = try withThreadRanks(3) { ranks in
      try communicationError {
        let world = try CheckedCommunicator(ranks)
        let (control, statistics) = (try world.duplicate(), try world.duplicate())
        control.meter.name = EventName("control")
        statistics.meter.name = EventName("statistics")
        var values = [1.0]
        if ranks.rank != 2 {
          try statistics.sum(&values, for: .statistics(EventName("bn1"), .forward))
        }
        try control.barrier()
      }
    }
    for error in errors {
      #expect(
        error?.description == "collectives do not match: rank 2 reaches the barrier for control "
          + "(number 1 on control), where ranks 0 and 1 reach the all-reduce of 1 float64 for "
          + "statistics of bn1, forward (number 1 on statistics)")
    }
  }

  @Test func aPartOfTheRanksChecksItself() throws {
    let errors = try withThreadRanks(4) { ranks -> CommunicationError? in
      let part = try CheckedCommunicator(ranks).split(color: ranks.rank / 2, key: ranks.rank)
      return try communicationError {
        var values = [Double](repeating: 1, count: ranks.rank == 3 ? 2 : 1)
        try part.sum(&values)
        if ranks.rank < 2, values[0] != 2 { throw Wrong() }
      }
    }
    #expect(errors[0] == nil && errors[1] == nil)
    for error in errors[2...] {
      let text = try #require(error).description
      #expect(text.contains("rank 3 reaches the all-reduce of 2 float64"), "\(text)")
      #expect(text.contains("where rank 2 reaches the all-reduce of 1 float64"), "\(text)")
      #expect(error?.isSharedByAllRanks == false)
    }
  }

  private struct Wrong: Error {}

  @Test func whatMatchesGoesThroughAndIsCountedApartFromItsChecks() throws {
    let seen = try withThreadRanks(3) { ranks -> (Traffic, Traffic) in
      let world = try CheckedCommunicator(ranks).duplicate()
      let before = try #require(world.checks).traffic
      var values = [Float(ranks.rank)]
      try world.sum(&values)
      #expect(values == [3])
      #expect(try begunSum([1, 2], over: world) == [3, 6])
      #expect(
        try world.allGather([Float](repeating: 1, count: ranks.rank)).map(\.count) == [0, 1, 2])
      var text = ranks.rank == 2 ? [UInt8(7)] : [0]
      try world.broadcast(&text, from: 2)
      #expect(text == [7])
      let gathered = Storage<Int64>(count: 3)
      try world.allGather(Storage([Int64(ranks.rank)]), into: gathered)
      #expect(gathered.copy(0..<3) == [0, 1, 2])
      let block = Storage<Double>(count: 1)
      try world.reduceScatter(Storage([1.0, 2, 3]), into: block)
      #expect(block[0] == 3 * Double(ranks.rank + 1))
      try world.barrier()
      return (world.traffic, (try #require(world.checks)).traffic - before)
    }
    for (traffic, checks) in seen {
      #expect(traffic.collectives == 7 && checks.collectives == 7)
      #expect(checks.bytes == 7 * 5 * 8)
    }
  }
}
