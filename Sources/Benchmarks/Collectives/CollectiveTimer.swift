import LockstepAnalysis
import LockstepCollectives
import LockstepDataParallel
import LockstepRecording

/// Times one operation on one size over the ranks of a group.
final class CollectiveTimer {
  /// What was measured between computing.
  struct Windows {
    /// From the last rank's arrival to the end on the last rank, in microseconds, of every window that
    /// all ranks began in time.
    var microseconds: [Double] = []
    /// The windows that some rank began late.
    var late = 0
    /// The most that a time may be wrong by because the ranks' clocks are not one, in nanoseconds.
    var clockBound = 0.0
  }

  /// A rank that arrives later than this after a window's start was held up, in nanoseconds.
  private static let lateness: UInt64 = 5000
  /// The least computing before a collective, and what a window adds to the collective, in nanoseconds.
  private static let computing: (least: UInt64, planned: Double) = (1_000_000, 2_000_000)
  /// How often windows that came out late are made longer and measured again.
  private static let attempts = 2
  /// How long a batch of the tight loop lasts, in nanoseconds, and its runs.
  private static let batch: (nanoseconds: Double, runs: ClosedRange<Int>) = (1e6, 4...1000)

  private let probe: CollectiveProbe
  private let group: CollectiveGroup
  private let computing: StepLikeComputing
  /// The first wrong element that this rank found.
  private(set) var wrong: String?
  /// A run, and a run with its preparation and check, on the slowest rank, in nanoseconds.
  private var estimate = (run: 0.0, whole: 0.0)

  init(_ probe: CollectiveProbe, in group: CollectiveGroup, computing: StepLikeComputing) {
    (self.probe, self.group, self.computing) = (probe, group, computing)
  }

  /// Whether any rank found a wrong element.
  ///
  /// Collective.
  func isWrongAnywhere() throws -> Bool { try group.maximum(wrong == nil ? 0 : 1) > 0 }

  private func check(after runs: Int) {
    if let found = probe.firstWrong(runs), wrong == nil { wrong = found }
  }

  /// Runs the operation `count` times, and sees about how long it takes.
  func warmUp(_ count: Int) throws {
    var (runs, wholes): ([Double], [Double]) = ([], [])
    for _ in 0..<count {
      let begin = monotonicNanoseconds()
      probe.prepare()
      let start = monotonicNanoseconds()
      try probe.run()
      let end = monotonicNanoseconds()
      check(after: 1)
      runs.append(Double(end - start))
      wholes.append(Double(monotonicNanoseconds() - begin))
    }
    estimate = (
      try group.maximum(MedianInterval(runs).median),
      try group.maximum(MedianInterval(wholes).median)
    )
  }

  /// Times single runs between computing: all ranks compute until one moment on the common clock, then
  /// run the operation.
  ///
  /// Nothing but the clock brings the ranks together, since a barrier lets them go at different moments
  /// and leaves the library in a state that a step does not. A window in which any rank came late is
  /// left out; where that is half of them or more, windows are made longer, and measured again.
  func windows(_ count: Int) throws -> Windows {
    var result = Windows()
    var width = Self.computing.planned + 2 * estimate.whole
    for _ in 0..<Self.attempts {
      let before = result.microseconds.count
      try measure(count, width: width, into: &result)
      if result.microseconds.count - before > count / 2 { break }
      width *= 2
    }
    return result
  }

  private func measure(_ count: Int, width: Double, into result: inout Windows) throws {
    let reading = try group.clocks.read()
    let clock = ClockOffset(reading, reading)
    var first = [clock.common(monotonicNanoseconds()) + width]
    try group.control.broadcast(&first, from: 0)
    let log = EventLog(capacity: count)
    var inTime = [UInt8](repeating: 0, count: count)
    for window in 0..<count {
      let start = clock.local(first[0] + Double(window) * width)
      probe.prepare()
      let begin = monotonicNanoseconds()
      computing.run(until: start)
      let arrival = monotonicNanoseconds()
      try probe.run()
      log.step(window, from: arrival)
      check(after: 1)
      let isInTime = begin + Self.computing.least <= start && arrival <= start + Self.lateness
      inTime[window] = isInTime ? 1 : 0
    }
    let records = try RankRecord.gather(
      log.events(), clock: ClockOffset(reading, try group.clocks.read()), groups: [0],
      over: group.control)
    let everywhere = try group.control.allGather(inTime)
    for window in 0..<count {
      guard everywhere.allSatisfy({ $0[window] == 1 }) else {
        result.late += 1
        continue
      }
      let runs = records.map { $0.entries[window] }
      let last = runs.map(\.issue).max() ?? 0
      let transfers = runs.map { CollectiveSplit($0, lastArrival: last).transfer }
      result.microseconds.append((transfers.max() ?? 0) / 1e3)
    }
    result.clockBound = records.map(\.clockBound).max() ?? 0
  }

  /// Times `batches` batches of runs one right after another: the time of a run on the slowest rank of
  /// each batch, in microseconds.
  func tightLoop(batches: Int) throws -> [Double] {
    let wanted = Int(Self.batch.nanoseconds / max(estimate.run, 1))
    let runs = min(
      probe.longestRow, min(max(wanted, Self.batch.runs.lowerBound), Self.batch.runs.upperBound))
    var times: [Double] = []
    defer { group.measured.meter.isPaused = false }
    // The first batch warms up.
    for _ in 0...batches {
      probe.prepare()
      try group.control.barrier()
      group.measured.meter.isPaused = true
      let start = monotonicNanoseconds()
      for _ in 0..<runs { try probe.run() }
      times.append(Double(monotonicNanoseconds() - start))
      group.measured.meter.isPaused = false
      check(after: runs)
    }
    let all = try group.control.allGather(times)
    return (1...batches).map { batch in
      (all.map { $0[batch] }.max() ?? 0) / Double(runs) / 1e3
    }
  }

  /// Checks a barrier: in turn each rank comes late, and nobody may have left before it came.
  func checkBarrier() throws {
    // A rank that left too early may not have run until the late one came: so each is late some times, each
    // time by more, on a busy machine up to several time slices.
    for turn in 0..<6 * group.measured.size {
      let late = turn % group.measured.size
      let wait: UInt64 = 500_000 << UInt64(turn / group.measured.size)
      let reading = try group.clocks.read()
      let clock = ClockOffset(reading, reading)
      try group.control.barrier()
      if group.measured.rank == late {
        let start = monotonicNanoseconds()
        while monotonicNanoseconds() - start < wait {}
      }
      let arrival = clock.common(monotonicNanoseconds())
      try probe.run()
      let end = clock.common(monotonicNanoseconds())
      let came = try group.control.allGather([arrival])[late][0]
      let bound = try group.maximum(reading.bound)
      if end + bound < came, wrong == nil {
        wrong = "left \(Int((came - end) / 1e3)) µs before rank \(late) came"
      }
    }
  }
}
