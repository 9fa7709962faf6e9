import LockstepCollectives
import LockstepTensors
import Testing

/// What communicators record of themselves.
@Suite struct EventLogTests {
  @Test func everyCollectiveIsRecordedWithItsPurposeAndNumber() throws {
    let events = try withThreadRanks(2) { ranks in
      let log = EventLog(capacity: 64)
      ranks.meter.record(in: log)
      let site = EventName("bn1")
      var values = [1.0, 2, 3]
      try ranks.sum(&values, for: .statistics(site, .forward))
      let pending = try ranks.beginSum(
        Storage<Float>(count: 5, filledWith: 1), for: .gradients(bucket: 4))
      try ranks.barrier()
      _ = try pending.wait()
      return log.events()
    }
    for rank in events {
      #expect(
        rank.map(\.purpose) == [
          .statistics(EventName("bn1"), .forward), .control, .gradients(bucket: 4),
        ])
      #expect(rank.map(\.number) == [1, 3, 2], "by number as issued, in the order of their ends")
      #expect(rank.map(\.elements) == [3, 0, 5] && rank.map(\.bytes) == [24, 0, 20])
      for event in rank {
        #expect(event.issue <= event.returned && event.returned <= event.waitBegin)
        #expect(event.waitBegin <= event.end)
      }
    }
  }

  @Test func anEventWhoseTimesAreOutOfOrderIsDamaged() {
    func event(_ times: [Int64]) -> Event? {
      let fields = [0, 2, 1, 0, 0, 1, 5, 20] + times + [0]
      let event = Event(fields[...], texts: [])
      let bytes = unsafe withUnsafeBytes(of: event) { unsafe Array($0) }
      return Event(bytes: bytes[...], texts: [])
    }
    #expect(event([1, 2, 3, 4]) != nil)
    #expect(event([1, 2, 5, 4]) != nil, "a test found it complete before the wait")
    for times: [Int64] in [[3, 2, 3, 4], [1, 3, 2, 4], [4, 4, 4, 3]] {
      #expect(event(times) == nil, "\(times)")
    }
  }

  @Test func whatIsRecordedIsWhatIsCounted() throws {
    let (traffic, events) = try withThreadRanks(3) { ranks in
      let log = EventLog(capacity: 64)
      ranks.meter.record(in: log)
      var values = [Float](repeating: 1, count: 7)
      for _ in 0..<5 { try ranks.sum(&values) }
      _ = try ranks.allGather([Int64(1)])
      return (ranks.traffic, log.events())
    }[0]
    #expect(traffic.collectives == events.count)
    #expect(traffic.bytes == events.reduce(0) { $0 + Int($1.bytes) })
    #expect(traffic.blockedNanoseconds == events.reduce(0) { $0 + Int($1.end - $1.issue) })
  }

  @Test func aFullRingKeepsTheNewest() {
    let log = EventLog(capacity: 4)
    for number in 1...6 { log.step(number, from: 0) }
    #expect(log.count == 6 && log.events().map(\.number) == [3, 4, 5, 6])
    #expect(log.events(from: 5).map(\.number) == [6] && log.events(from: 6).isEmpty)
  }

  @Test func eventsSurviveTheirWayAsNumbers() {
    let log = EventLog(capacity: 4)
    log.beginSegment()
    log.mark(EventName("conv1"), .backward)
    let event = log.events()[0]
    let back = Event(event.fields[...], texts: EventName.texts)
    #expect(back.purpose == event.purpose && back.fields == event.fields)
    #expect(event.fields.count == Event.fieldCount)
  }

  @Test func anInjectedDelayComesBeforeTheCollectivesOfItsPurpose() throws {
    let events = try withThreadRanks(2) { ranks in
      let log = EventLog(capacity: 64)
      ranks.meter.record(in: log)
      if ranks.rank == 1 { ranks.meter.injectedDelay = (.gradients(bucket: 0), 20_000_000) }
      var values = [1.0]
      for purpose in [Purpose.control, .gradients(bucket: 0)] {
        try ranks.sum(&values, for: purpose)
      }
      return log.events()
    }[1]
    #expect(events[1].issue - events[0].end >= 20_000_000)
  }
}
