import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepFiles
import LockstepMachine
import LockstepPrediction
import LockstepRecording
import Spawning
import Testing

/// Predictions from events made by hand.
@Suite struct PredictionTests {
  private static let site = EventName("bn1")

  /// `steps` steps of one rank: `computing` milliseconds before each of as many collectives of
  /// statistics, which took no time, then 1 ms before a bucket of `bytes`.
  private func record(
    _ computing: [[Double]], bytes: Int64 = 4000, overlapped: Double? = nil
  ) -> RankRecord {
    var events: [Event] = []
    var clock = 1.0
    var number: Int64 = 0
    func at(_ milliseconds: Double) -> Int64 { Int64(milliseconds * 1e6) }
    func collective(
      _ purpose: Int64, _ bytes: Int64, issue: Double, returned: Double, wait: Double, end: Double
    ) {
      number += 1
      events.append(
        Event(
          [
            0, purpose, 0, purpose == 1 ? Int64(Self.site.number) : 0, purpose, number, bytes / 4,
            bytes, at(issue), at(returned), at(wait), at(end), 0,
          ][...], texts: EventName.texts))
    }
    for (step, segments) in computing.enumerated() {
      let begin = clock
      for segment in segments {
        clock += segment
        if let overlapped {
          collective(
            1, 80, issue: clock, returned: clock, wait: clock + overlapped, end: clock + overlapped)
          clock += overlapped
        } else {
          collective(1, 80, issue: clock, returned: clock, wait: clock, end: clock)
        }
      }
      clock += 1
      collective(2, bytes, issue: clock, returned: clock, wait: clock, end: clock)
      events.append(
        Event(
          [2, 0, 0, 0, 0, Int64(step + 1), 0, 0, at(begin), at(clock), at(clock), at(clock), 0][
            ...], texts: []))
    }
    return RankRecord(events, clock: .none, groups: [0, 0, 0])
  }

  private static let free = Fabric(
    name: "free", source: "a test", ranks: 2, latencyMicroseconds: 1e-9, bandwidthGigabits: 1e9)

  private func rows(
    _ records: [RankRecord], on fabric: Fabric = free, ranks: [Int], groups: [Int] = [],
    synchronizes: Bool = true
  ) throws -> [Prediction.Row] {
    try Prediction(
      [
        Prediction.Source(
          norm: "a norm", synchronizes: synchronizes, records: records)
      ], on: NetworkModel(fabric, library: .openMPI), ranks: ranks, groups: groups
    ).rows
  }

  private func expectNear(
    _ a: Double, _ b: Double, _ tolerance: Double = 1e-6,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(abs(a - b) <= tolerance, "\(a), not \(b)", sourceLocation: sourceLocation)
  }

  @Test func withoutNoiseOrNetworkAStepTakesAsLongAsTheRecordedOne() throws {
    let record = record(Array(repeating: [2, 3, 4], count: 8))
    for row in try rows([record], ranks: [2, 64]) {
      expectNear(row.stepMilliseconds.median, 10)
      expectNear(row.computeMilliseconds, 10)
      expectNear(row.statisticsSkewMilliseconds, 0)
    }
  }

  @Test func stepsOfSeveralKindsArePredictedByTheirShares() throws {
    // Every fourth step synchronizes statistics, three times, and takes 10 ms; the others take 1 ms.
    let every = record((0..<43).map { $0 % 4 == 0 ? [2, 3, 4] : [] })
    let always = record(Array(repeating: [2, 3, 4], count: 43))
    let slow = Fabric(
      name: "slow", source: "a test", ranks: 2, latencyMicroseconds: 500, bandwidthGigabits: 1e9)
    let share = 11.0 / 43
    let (some, all) = (
      try rows([every], on: slow, ranks: [8])[0], try rows([always], on: slow, ranks: [8])[0]
    )
    let free = try rows([every], ranks: [8])[0]
    expectNear(free.stepMilliseconds.median, 1 + 9 * share)
    expectNear(some.statisticsTransferMilliseconds, share * all.statisticsTransferMilliseconds)
    #expect(all.statisticsTransferMilliseconds > 1)
    #expect(some.statisticsAlgorithm == all.statisticsAlgorithm)
  }

  /// One rank is slow in the first half of a step, the other in the second.
  @Test func ranksThatMeetAtEveryLayerPayTheSumOfTheSlowestAndOthersTheSlowestSum() throws {
    let records = [
      record(Array(repeating: [1, 5], count: 8)), record(Array(repeating: [5, 2], count: 8)),
    ]
    let together = try rows(records, ranks: [2])[0]
    expectNear(together.stepMilliseconds.median, 5 + 5 + 1)
    // Rank 0 waits 4 at the first layer, rank 1 waits 3 at the second.
    expectNear(together.statisticsSkewMilliseconds, (4 + 3) / 2.0)
    let apart = try rows(records, ranks: [2], synchronizes: false)[0]
    expectNear(apart.stepMilliseconds.median, 7 + 1)
    expectNear(apart.statisticsSkewMilliseconds, 0)
    expectNear(apart.gradientsMilliseconds, 0.5)
    // Consecutive ranks of a group are the two kinds, so that groups of two cost as much as all.
    let groups = try rows(records, ranks: [8], groups: [2])
    #expect(groups.map(\.statisticsGroup) == [2, 8])
    for row in groups { expectNear(row.stepMilliseconds.median, 11) }
  }

  @Test func whatIsSlowAboutARankStaysAndNoiseIsDrawnAnew() throws {
    // Steps of 1 or 3 ms in turn: of two ranks the slower one takes 3 in three of four steps.
    let noisy = (0..<40).map { [$0 % 2 == 0 ? 1.0 : 3] }
    let row = try rows([record(noisy)], ranks: [2])[0]
    expectNear(row.computeMilliseconds, 3, 0.2)
    #expect(row.statisticsSkewMilliseconds > 0.3 && row.statisticsSkewMilliseconds < 0.7)
    let steady = try rows(
      [record(noisy.map { _ in [1] }), record(noisy.map { _ in [3] })], ranks: [2])[0]
    expectNear(steady.stepMilliseconds.median, 4)
    expectNear(steady.statisticsSkewMilliseconds, 1)
  }

  /// The first three steps are left out; of the ten that then remain, one lies above nine tenths.
  @Test(arguments: [13, 20])
  func theTailIsAssumedOnlyPastTheSamplesAndGrowsWithTheLogarithmOfTheRanks(steps: Int) throws {
    let noisy = (0..<steps).map { [$0 == 8 ? 2.0 : 1] }
    let rows = try rows([record(noisy)], ranks: [8, 1000, 8000])
    #expect(rows.map(\.assumesTail) == [false, true, true])
    let growth = rows[2].stepMilliseconds.median - rows[1].stepMilliseconds.median
    #expect(growth > 0.5 && growth < 2 * log(8) + 0.1, "\(growth)")
  }

  private static let slow = Fabric(
    name: "slow", source: "a test", ranks: 2, latencyMicroseconds: 100, bandwidthGigabits: 0.008)

  @Test func theNetworkCostsWhatItsAlgorithmDoes() throws {
    let record = record(Array(repeating: [2], count: 8))
    // A byte takes a microsecond: 80 bytes by recursive doubling, 4000 too, as both block.
    let row = try rows([record], on: Self.slow, ranks: [4])[0]
    expectNear(row.statisticsTransferMilliseconds, 2 * (0.1 + 0.08), 1e-3)
    expectNear(row.gradientsMilliseconds, 2 * (0.1 + 4), 1e-3)
    #expect(row.statisticsAlgorithm == "recursive doubling")
    expectNear(row.stepMilliseconds.median, 3 + 2 * (0.1 + 0.08) + 2 * (0.1 + 4), 1e-3)
    let large = try rows(
      [self.record(Array(repeating: [2], count: 8), bytes: 80_000)], on: Self.slow, ranks: [4])[0]
    #expect(large.gradientsAlgorithm == "recursive halving and doubling")
    expectNear(large.gradientsMilliseconds, 4 * 0.1 + 1.5 * 80, 1e-2)
  }

  @Test func whatIsComputedWhileStatisticsAreInFlightHidesThem() throws {
    // By a tree on four ranks: two messages there and two back, each 100 µs and 80.
    for (meanwhile, blocked) in [(0.1, 0.62), (1.0, 0)] {
      let record = record(Array(repeating: [2], count: 8), overlapped: meanwhile)
      let row = try rows([record], on: Self.slow, ranks: [4])[0]
      #expect(row.statisticsAlgorithm == "reduce and broadcast")
      expectNear(row.statisticsTransferMilliseconds, blocked, 1e-3)
    }
  }

  @Test func aMeasuredFabricCostsWhatWasMeasuredAtItsRanksAndScalesFromThere() throws {
    let points = [8, 80, 8000].map {
      Fabric.Point(
        ranks: 2, bytes: $0, betweenMicroseconds: 7 + Double($0) / 100, tightMicroseconds: 1,
        nonblockingMicroseconds: 30)
    }
    let fabric = Fabric(
      name: "measured", source: "a test", ranks: 2, latencyMicroseconds: 5, bandwidthGigabits: 1,
      points: points)
    let network = NetworkModel(fabric, library: .openMPI)
    expectNear(network.allReduce(bytes: 80, ranks: 2, world: 2, blocking: true).microseconds, 7.8)
    expectNear(network.allReduce(bytes: 80, ranks: 2, world: 2, blocking: false).microseconds, 30)
    // Two of four ranks have the tree, there and back.
    expectNear(
      network.allReduce(bytes: 80, ranks: 2, world: 4, blocking: false).microseconds, 60)
    let four = network.allReduce(bytes: 80, ranks: 4, world: 4, blocking: true)
    expectNear(four.microseconds, 2 * 7.8)
    expectNear(network.allReduce(bytes: 80, ranks: 1, world: 1, blocking: true).microseconds, 0)
    let nodes = NetworkModel(fabric, library: .openMPI, node: (2, Self.free))
    expectNear(
      nodes.allReduce(bytes: 80, ranks: 4, world: 4, blocking: true).microseconds, 7.8, 1e-5)
    expectNear(nodes.allReduce(bytes: 80, ranks: 2, world: 2, blocking: true).microseconds, 0, 1e-5)
  }

  @Test func theChoiceIsTheFastestAndSaysWhenItIsNotSure() throws {
    let network = NetworkModel(Self.slow, library: .openMPI)
    func source(_ norm: String, _ computing: Double, _ synchronizes: Bool) -> Prediction.Source {
      Prediction.Source(
        norm: norm, synchronizes: synchronizes,
        records: [record(Array(repeating: [computing], count: 8), bytes: 80)])
    }
    let near = try Prediction(
      [source("sync-batch", 20, true), source("layer", 20.5, false)], on: network, ranks: [2, 4096])
    #expect(near.choices.map(\.norm) == ["sync-batch", "layer"])
    #expect(near.choices.allSatisfy { !$0.isSure && $0.reason.contains("measure both") })
    let far = try Prediction(
      [source("sync-batch", 20, true), source("layer", 10, false)], on: network, ranks: [64])
    #expect(far.choices[0].norm == "layer" && far.choices[0].isSure)
    #expect(far.choices[0].reason.contains("computes longer"))
  }

  @Test func disturbedStepsAreLeftOutUnlessTheirNoiseIsAskedFor() throws {
    // Steps of 10 ms, every fourth of 50 that another process made so, and the first.
    let slow = { (number: Int) in number % 4 == 0 || number == 1 }
    let records = [marked((1...43).map { slow($0) ? [49.0] : [9] }, slow)]
    let clean = try predict(records, .none)
    expectNear(clean.rows[0].stepMilliseconds.high, 10)
    expectNear(clean.disturbedShare, 11.0 / 43)
    let recorded = MachineNoise(recordedIn: records.map { ($0, nil) })
    #expect(recorded.detourMicroseconds.count == 10)
    #expect(recorded.detourMicroseconds.allSatisfy { abs($0 - 40_000) < 1 })
    expectNear(recorded.detoursPerSecond, 25, 1e-3)
    let whole = Set(1...39)
    #expect(MachineNoise(recordedIn: records.map { ($0, whole) }).detourMicroseconds.count == 9)
    // 25 a second of 10 ms of computing: a quarter of 40 ms a step.
    let noisy = try predict(records, recorded)
    expectNear(noisy.rows[0].computeMilliseconds, 20, 2)
  }

  @Test(arguments: [
    (30.0, 20.0, nil), (30.0, 40.0, nil), (1e5, 2e4, "its detours take over 99.9% of the time"),
  ])
  func noiseIsReadHoweverBusyTheMachineWas(rate: Double, milliseconds: Double, problem: String?)
    throws
  {
    try withTemporaryFolder { folder in
      let noise = MachineNoise(
        name: "busy", source: "a test", detoursPerSecond: rate,
        detourMicroseconds: [1e3 * milliseconds])
      let path = "\(folder)/noise.json"
      try Data(jsonDocument(noise).utf8).write(to: URL(fileURLWithPath: path))
      if let problem {
        let error = #expect(throws: InputFileError.self) { _ = try MachineNoise.read(path) }
        #expect(error?.problem == problem)
      } else {
        #expect(try MachineNoise.read(path).detourMicroseconds == noise.detourMicroseconds)
      }
    }
  }

  /// A bucket begun after 10 ms and tested for 8, a blocking sum from 30 to 31, another from 50 to 51, then the
  /// wait for the bucket.
  ///
  /// The bucket ends at 53; or at 25, before the first sum.
  @Test(arguments: [(53.0, [10.0, 20, 11], 48.0), (25.0, [10.0, 12, 19], 50.0)])
  func testsOfABucketAreNoComputingThoughItsWaitComesMuchLater(
    end: Double, computing: [Double], sum: Double
  ) throws {
    func event(_ purpose: Int64, _ number: Int64, _ times: [Double]) -> Event {
      let kind: [Int64] = [0, purpose, 0, 0, purpose, number, 10, 40]
      return Event((kind + times.map { Int64($0 * 1e6) })[...], texts: EventName.texts)
    }
    let step = Event(
      [2, 0, 0, 0, 0, 1, 0, 0, 0, 60_000_000, 60_000_000, 60_000_000, 0][...], texts: [])
    let record = RankRecord(
      [
        event(2, 1, [10, 10, 51, end, 8]), event(3, 2, [30, 31, 31, 31, 0]),
        event(3, 3, [50, 51, 51, 51, 0]), step,
      ], clock: .none, groups: [0, 0, 0])
    let program = try #require(
      StepSamples.programs(record.entries.filter { $0.kind == .step }, record.entries).first)
    #expect(program.shape.collectives.count == 3)
    expectNear(program.computing.reduce(0, +), sum * 1e6)
    // Before the bucket's start, and before the starts of the two sums.
    let pieces = program.computing.map { $0 / 1e6 }
    #expect([0, 1, 3].map { pieces[$0] } == computing, "\(pieces)")
  }

  @Test func noiseIsNotAddedToStepsThatAllWereDisturbed() throws {
    // Of each step, one rank was disturbed, so that no step is clean.
    let records = [0, 1].map { rank in
      let slow = { (number: Int) in number % 2 == rank }
      return marked((1...40).map { slow($0) ? [49.0] : [9] }, slow)
    }
    let noise = MachineNoise(recordedIn: records.map { ($0, nil) })
    #expect(noise.detoursPerSecond > 10)
    let with = try predict(records, noise)
    #expect(
      with.rows[0].computeMilliseconds == (try predict(records, .none)).rows[0].computeMilliseconds)
  }

  private func predict(_ records: [RankRecord], _ noise: MachineNoise) throws -> Prediction {
    try Prediction(
      [Prediction.Source(norm: "a norm", synchronizes: true, records: records)],
      on: NetworkModel(Self.free, library: .openMPI), ranks: [2], noise: noise)
  }

  /// A record of steps, of which those with some numbers are marked as disturbed.
  private func marked(_ events: [[Double]], _ isDisturbed: (Int) -> Bool) -> RankRecord {
    RankRecord(
      record(events).entries.map { entry in
        let isMarked = entry.kind == .step && isDisturbed(entry.key.number)
        return Event(
          [
            entry.kind == .step ? 2 : 0,
            Int64(entry.purpose == .control ? 0 : entry.bytes == 80 ? 1 : 2), 0,
            entry.bytes == 80 ? Int64(Self.site.number) : 0, Int64(entry.key.communicator),
            Int64(entry.key.number), isMarked ? 1 : 0, Int64(entry.bytes), Int64(entry.issue),
            Int64(entry.returned), Int64(entry.waitBegin), Int64(entry.end), 0,
          ][...], texts: EventName.texts)
      }, clock: .none, groups: [0, 0, 0])
  }

  @Test func aChoiceFromStepsMostOfWhichWereDisturbedIsNotSure() throws {
    func source(_ norm: String, _ computing: Double, marks: Int64) -> Prediction.Source {
      let quiet = record(Array(repeating: [computing], count: 12), bytes: 80)
      let marked = RankRecord(
        quiet.entries.map { entry in
          Event(
            [
              entry.kind == .step ? 2 : 0,
              Int64(entry.purpose == .control ? 0 : entry.key.communicator), 0,
              entry.key.communicator == 1 ? Int64(Self.site.number) : 0,
              Int64(entry.key.communicator), Int64(entry.key.number),
              entry.kind == .step && Int64(entry.key.number) <= marks ? 1 : 0, Int64(entry.bytes),
              Int64(entry.issue), Int64(entry.returned), Int64(entry.waitBegin), Int64(entry.end),
              0,
            ][...], texts: EventName.texts)
        }, clock: .none, groups: [0, 0, 0])
      return Prediction.Source(norm: norm, synchronizes: true, records: [marked])
    }
    for (marks, isSure) in [(Int64(0), true), (9, false)] {
      let prediction = try Prediction(
        [source("slow", 20, marks: marks), source("fast", 10, marks: 0)],
        on: NetworkModel(Self.slow, library: .openMPI), ranks: [64])
      #expect(prediction.choices[0].norm == "fast" && prediction.choices[0].isSure == isSure)
      #expect(prediction.choices[0].reason.contains("quieter") == !isSure)
    }
  }

  @Test func aRecordWithoutStepsIsNoBasis() {
    let empty = RankRecord([], clock: .none, groups: [])
    #expect(throws: RecordingError.self) { try rows([empty], ranks: [2]) }
  }
}
