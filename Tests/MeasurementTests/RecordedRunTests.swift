import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepRecording
import LockstepTensors
import Testing

/// Events that went through a run directory.
@Suite struct RecordedRunTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "lockstep-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  private static let reading = ClockOffset.Reading(time: 0, offset: 0, bound: 0)

  /// Writes `steps` steps of two ranks, each with `marks` segments and a sum, and returns what rank 0
  /// logged.
  @discardableResult
  private func record(
    _ path: String, steps: Int, marks: Int = 3, capacity: Int = 1 << 16, finish: Bool = true,
    run: String = "one"
  ) throws -> [Event] {
    try withThreadRanks(2) { ranks in
      let log = EventLog(capacity: capacity)
      ranks.meter.record(in: log)
      let recorder = try EventRecorder(
        run: path, EventFileHeader(run: run, rank: ranks.rank, ranks: 2, host: "node"), log: log,
        clock: Self.reading)
      for step in 1...steps {
        let start = monotonicNanoseconds()
        log.beginSegment()
        for layer in 0..<marks { log.mark(EventName("layer \(layer)"), .forward) }
        var values = [1.0, 2]
        try ranks.sum(&values, for: .statistics(EventName("norm"), .backward))
        log.step(step, from: start)
        try recorder.stepTaken(groups: [0])
      }
      if finish {
        try recorder.finish(groups: [0], clock: Self.reading)
      } else {
        try recorder.write(groups: [0])
      }
      return log.events()
    }[0]
  }

  @Test func whatIsReadIsWhatWasRecorded() throws {
    try withFolder { path in
      let events = try record(path, steps: 5)
      let run = try RecordedRun(path: path)
      #expect(run.isComplete && run.headers.map(\.host) == ["node", "node"])
      let entries = run.records[0].entries
      #expect(entries.count == events.count)
      for (entry, event) in zip(entries, events) {
        #expect(entry.kind == event.kind && entry.purpose == event.purpose)
        #expect(entry.bytes == Int(event.bytes) && entry.key.number == Int(event.number))
        #expect(entry.issue == Double(event.issue) && entry.end == Double(event.end))
      }
    }
  }

  @Test func aRunOfAnyLengthKeepsItsLastStepsInBoundedSpace() throws {
    try withFolder { path in
      try record(path, steps: 3000, marks: 80)
      let run = try RecordedRun(path: path)
      let folder = "\(path)/events"
      let sizes = try FileManager.default.contentsOfDirectory(atPath: folder).map {
        try FileManager.default.attributesOfItem(atPath: "\(folder)/\($0)")[.size] as? Int ?? 0
      }
      // Two ranks with two files each, and their headers.
      let limit = 2 * 2 * (4 << 20) + 10_000
      let total = sizes.reduce(0, +)
      #expect(total <= limit, "\(sizes)")
      let steps = run.records[0].entries.filter { $0.kind == .step }.map(\.key.number)
      #expect(steps.last == 3000 && steps.count > 400)
      #expect(steps == Array((steps.first ?? 0)...3000), "no step is missing in between")
      let whole = StepSplit(run.records)
      #expect(whole.steps == steps.count && whole.ranks.allSatisfy { $0.unaccounted < 0.5 })
    }
  }

  @Test func aRunThatWasKilledWhileItWroteStillLoads() throws {
    try withFolder { path in
      try record(path, steps: 5, finish: false)
      let file = "\(path)/events/rank-1.0.events"
      let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
      try bytes.dropLast(Event.byteCount / 2).write(to: URL(fileURLWithPath: file))
      let run = try RecordedRun(path: path)
      #expect(!run.isComplete)
      // The last step's end is torn on one rank, so that all ranks hold four.
      #expect(run.records.allSatisfy { $0.entries.filter { $0.kind == .step }.count == 4 })
    }
  }

  /// A negative communicator, more bytes than there are, an end before the beginning.
  @Test(arguments: [(8, [0xff, 0xff, 0xff, 0xff]), (31, [0x7f]), (63, [0x80])])
  func anEventThatCannotHaveBeenIsDamage(place: Int, bytes: [UInt8]) throws {
    try withFolder { path in
      try record(path, steps: 3)
      let file = "\(path)/events/rank-0.0.events"
      var events = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      events.replaceSubrange(place..<place + bytes.count, with: bytes)
      try Data(events).write(to: URL(fileURLWithPath: file))
      #expect(try message(path).contains("is damaged: event 0"))
    }
  }

  @Test func aClockThatNoMachineHasIsDamage() throws {
    try withFolder { path in
      try record(path, steps: 3)
      let file = "\(path)/events/rank-1.json"
      let header = try String(contentsOfFile: file, encoding: .utf8)
      for bad in ["\"offset\":1e300", "\"bound\":-1", "\"time\":1e20"] {
        let name = bad.prefix { $0 != ":" }
        let damaged = header.replacing("\(name):0", with: bad)
        #expect(damaged != header)
        try Data(damaged.utf8).write(to: URL(fileURLWithPath: file))
        #expect(try message(path).contains("is damaged: not the header of rank 1's events"))
      }
    }
  }

  private func message(_ path: String) throws -> String {
    do {
      _ = try RecordedRun(path: path)
    } catch {
      return "\(error)"
    }
    Issue.record("\(path) was read")
    return ""
  }

  @Test func whatCannotBeReadSaysWhy() throws {
    try withFolder { path in
      #expect(try message(path).contains("no such run directory"))
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      #expect(try message(path).contains("holds no events"))
      try record(path, steps: 2)
      let (header, events) = ("\(path)/events/rank-1.json", "\(path)/events/rank-1.0.events")
      let good = try Data(contentsOf: URL(fileURLWithPath: header))
      try FileManager.default.removeItem(atPath: header)
      #expect(try message(path).contains("the events of rank 1 are missing"))
      let other = String(decoding: good, as: UTF8.self).replacingOccurrences(
        of: "\"one\"", with: "\"another\"")
      try Data(other.utf8).write(to: URL(fileURLWithPath: header))
      #expect(try message(path).contains("another run"))
      try good.dropLast(4).write(to: URL(fileURLWithPath: header))
      #expect(try message(path).contains("is damaged"))
      try good.write(to: URL(fileURLWithPath: header))
      try Data(repeating: 0xff, count: 5 * Event.byteCount).write(
        to: URL(fileURLWithPath: events))
      #expect(try message(path).contains("is damaged: event 0 of 5"))
      try Data().write(to: URL(fileURLWithPath: events))
      #expect(try message(path).contains("no step was recorded on all ranks"))
    }
  }
}
