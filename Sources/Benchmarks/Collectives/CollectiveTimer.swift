import LockstepAnalysis
import LockstepCollectives
import LockstepDataParallel
import LockstepRecording

/// Times one operation on one size over the ranks of a group.
final class CollectiveTimer {
  /// What was measured between computing.
  struct Windows {
    /// For every window that all ranks began in time, the time from the last rank's arrival to the last
    /// rank's end, in microseconds.
    var microseconds: [Double] = []
    /// The number of windows that some rank began late.
    var late = 0
    /// The largest error of a time because the ranks' clocks differ, in nanoseconds.
    var clockBound = 0.0
  }

  /// A rank that arrives later than this after a window's start was held up, in nanoseconds.
  private static let lateness: UInt64 = 5000
  /// The least computing before a collective, and what a window adds to the collective, in nanoseconds.
  private static let computing: (least: UInt64, planned: Double) = (1_000_000, 2_000_000)
  /// How often windows are measured at most: once more, with longer ones, if too many were late.
  private static let attempts = 2
  /// How long a batch of the tight loop should last, in nanoseconds, and how many runs it may have.
  private static let batch: (nanoseconds: Double, runs: ClosedRange<Int>) = (1e6, 4...1000)

  private let probe: CollectiveProbe
  private let group: CollectiveGroup
  private let computing: StepLikeComputing
  /// The first wrong element that this rank found.
  private(set) var wrong: String?
  /// How long a run takes on the slowest rank, alone and with its preparation and check, in nanoseconds.
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

  /// Runs the operation `count` times, and estimates how long it takes.
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

  /// Times single runs between computing: all ranks compute until an agreed moment on the common clock, then
  /// run the operation.
  ///
  /// Only the clock brings the ranks together. A barrier would let them go at different moments, and would
  /// leave the library in a state that a step does not. A window that any rank began late is left out. If
  /// that is half of the windows or more, they are made longer and measured again.
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

  /// Times `batches` batches of runs that follow each other without a pause.
  ///
  /// - Returns: For each batch, the slowest rank's time for one run, in microseconds.
  func tightLoop(batches: Int) throws -> [Double] {
    let wanted = Int(Self.batch.nanoseconds / max(estimate.run, 1))
    // The watchdog takes a batch for one wait, and must not take a slow network for a hang.
    let least = estimate.run > 1e9 ? 1 : Self.batch.runs.lowerBound
    let runs = min(probe.longestRow, min(max(wanted, least), Self.batch.runs.upperBound))
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

  /// Checks a barrier: each rank in turn arrives late, and no other may leave before it arrives.
  func checkBarrier() throws {
    // On a busy machine, a rank that left too early may get to run only after the late one has arrived, which
    // hides the error. So each rank is late six times, each time for longer, up to several time slices.
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
