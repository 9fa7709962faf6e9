import LockstepBenchmarks
import LockstepCollectives
import LockstepDataParallel
import LockstepNorms
import Testing

/// What `bench collectives` measures, on thread ranks.
@Suite struct CollectivesBenchmarkTests {
  private func settings(
    _ operations: [CollectiveOperation], _ sizes: [Int], _ ranks: [Int],
    _ type: CollectiveElement = .float64
  ) -> CollectivesBenchmark.Settings {
    var settings = CollectivesBenchmark.Settings(
      operations: operations, sizes: sizes, ranks: ranks)
    (settings.type, settings.repetitions, settings.warmup) = (type, 3, 1)
    return settings
  }

  @Test(arguments: CollectiveElement.allCases)
  func everyOperationIsMeasuredOverEveryRankCountAndItsResultsAreRight(type: CollectiveElement)
    throws
  {
    let settings = settings(CollectiveOperation.allCases, [64, 200], [1, 2, 3], type)
    let results = try withThreadRanks(3) { try CollectivesBenchmark(settings, over: $0).results }
    // Rank 2 takes part where there are three ranks alone.
    #expect(results[2].allSatisfy { $0.ranks == 3 } && !results[2].isEmpty)
    let rows = results[0]
    #expect(rows.count == 3 * (2 * (CollectiveOperation.allCases.count - 1) + 1))
    for row in rows {
      #expect(row.tightMicroseconds.minimum > 0 && row.windows + row.lateWindows >= 3)
      #expect((row.betweenMicroseconds == nil) == (row.windows == 0))
      let merge = CollectiveOperation(rawValue: row.operation)?.merge
      #expect(row.channels.map { merge?.bytes(channels: $0) == row.bytes } ?? (merge == nil))
    }
    let gathered = rows.filter { $0.operation == "all-gather" && $0.ranks == 3 }.map(\.bytes)
    // Whole elements from each of three ranks.
    #expect(gathered == (type == .float32 ? [72, 204] : [72, 216]))
    #expect(rows.filter { $0.operation == "barrier" }.map(\.bytes) == [0, 0, 0])
  }

  @Test(arguments: CollectiveOperation.allCases)
  func aWrongResultIsFoundAndNamedOnAllRanks(operation: CollectiveOperation) throws {
    let settings = settings([operation], [64], [2])
    let messages = try withThreadRanks(2) { rank in
      do {
        _ = try CollectivesBenchmark(settings, over: WrongCommunicator(rank))
        return "nothing"
      } catch let error as CollectivesFailure {
        return error.description
      }
    }
    #expect(messages[0] == messages[1])
    // A barrier that holds nobody lets the rank that is on time go, and the second pass of two spreads
    // what is wrong after the first.
    let rank = operation == .barrier || operation == .mergeTwoPass ? "" : "1"
    #expect(messages[0].hasPrefix("\(operation.rawValue) of "), "\(messages[0])")
    #expect(messages[0].contains("over 2 rank(s) is wrong on rank \(rank)"), "\(messages[0])")
    let what = operation == .barrier ? "µs before rank" : ", expected "
    #expect(messages[0].contains(what), "\(messages[0])")
  }

  /// The factors that NCCL's tests define.
  @Test func bandwidthsAreBytesOverTimeTimesWhatALinkCarries() throws {
    let factors: [(CollectiveOperation, Double?)] = [
      (.allReduce, 1.5), (.begunAllReduce, 1.5), (.allGather, 0.75), (.reduceScatter, 0.75),
      (.broadcast, 1), (.barrier, nil), (.mergeWelford, nil),
    ]
    for (operation, factor) in factors {
      let bandwidths = try #require(
        CollectiveResult.Bandwidths(operation, ranks: 4, bytes: 8000, microseconds: 2))
      #expect(bandwidths.algorithm == 4)
      #expect(bandwidths.bus == factor.map { 4 * $0 }, "\(operation)")
    }
    #expect(
      CollectiveResult.Bandwidths(.barrier, ranks: 4, bytes: 0, microseconds: 2) == nil)
  }

  @Test func aFabricNeedsAllReducesOfBothKinds() throws {
    let settings = settings([.allReduce], [64, 4096], [2])
    let messages = try withThreadRanks(2) { rank in
      let benchmark = try CollectivesBenchmark(settings, over: rank)
      do {
        _ = try benchmark.fabric(name: "made", source: "threads", over: rank)
        return "nothing"
      } catch let error as CollectivesFailure {
        return error.description
      }
    }
    #expect(messages[0] == messages[1] && messages[0].hasPrefix("no fabric: "), "\(messages)")
  }
}
