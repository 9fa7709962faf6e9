import Foundation
import LockstepCollectives
import LockstepFiles
public import LockstepRecording

/// What a written trace holds.
public struct TraceSummary: Codable, Hashable, Sendable {
  /// The file.
  public let trace: String
  /// The number of ranks.
  public let ranks: Int
  /// The number of the first step in it.
  public let firstStep: Int
  /// The number of the last step in it.
  public let lastStep: Int
  /// How many steps were asked for and recorded, but left out to keep the file below its limit.
  public let stepsCut: Int
  /// How many events the file has.
  public let events: Int
  /// Its size.
  public let bytes: Int
  /// Whether the run ended by itself.
  public let complete: Bool
  /// The largest possible error of a time because the ranks' clocks differ, in microseconds.
  public let clockBoundMicroseconds: Double

  private enum CodingKeys: String, CodingKey {
    case trace, ranks, events, bytes, complete
    case firstStep = "first_step"
    case lastStep = "last_step"
    case stepsCut = "steps_cut"
    case clockBoundMicroseconds = "clock_bound_us"
  }
}

/// Writes the last steps of a recorded run in Chrome's trace-event format, for Perfetto and
/// chrome://tracing.
///
/// All ranks are on one clock. Each rank is a process with a row of steps, one of computing by layer, one
/// of collectives that blocked it, and one of collectives in flight. Arrows lead from the last rank to
/// reach a collective to the ranks that waited for it.
public struct Trace {
  private let run: RecordedRun
  private let steps: RecordedSteps
  /// The time that is 0 in the file, in nanoseconds.
  private let origin: Double
  private var flows = 0
  /// By rank, when the last collective ends on each row of collectives in flight.
  private var lanes: [[Double]]

  /// The last `count` steps of `run`.
  public init(_ run: RecordedRun, last count: Int) {
    self.run = run
    steps = RecordedSteps(run.records, last: count)
    lanes = run.records.map { _ in [] }
    origin = steps.parts.first?.map(\.step.issue).min() ?? 0
  }

  /// Writes the trace to `path`, in whole steps and no more than `limit` bytes.
  ///
  /// - Throws: ``OutputError`` if the file cannot be written, or one step is larger than `limit`.
  public mutating func write(to path: String, limit: Int) throws -> TraceSummary {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let file = try OutputFile.named(path)
    let tail = Data("\n]}\n".utf8)
    let bound = run.records.map(\.clockBound).max() ?? 0
    let about = [
      "run": run.headers[0].run, "recorded by": "lockstep", "clocks agree to": "\(bound / 1e3) µs",
    ]
    try file.write(
      Data("{\"displayTimeUnit\":\"ms\",\"otherData\":".utf8) + encoder.encode(about)
        + Data(",\"traceEvents\":[\n".utf8))
    var (count, last) = (0, steps.numbers[0] - 1)
    for step in steps.numbers.indices {
      let events = (step == 0 ? names : []) + self.events(of: step)
      var bytes = Data()
      for event in events {
        if count > 0 || !bytes.isEmpty { bytes += Data(",\n".utf8) }
        bytes += try encoder.encode(event)
      }
      guard file.size + bytes.count + tail.count <= limit else { break }
      try file.write(bytes)
      count += events.count
      last = steps.numbers[step]
    }
    guard let cut = steps.numbers.firstIndex(of: last) else {
      throw OutputError(
        path: path, reason: "one step takes more than the limit of \(limit) bytes; allow more")
    }
    try file.write(tail)
    try file.finish()
    return TraceSummary(
      trace: path, ranks: run.records.count, firstStep: steps.numbers[0], lastStep: last,
      stepsCut: steps.numbers.count - 1 - cut, events: count, bytes: file.size,
      complete: run.isComplete, clockBoundMicroseconds: bound / 1e3)
  }

  /// The names of processes and rows.
  private var names: [TraceEvent] {
    run.headers.flatMap { header -> [TraceEvent] in
      let rank = header.rank
      return [
        metadata("process_name", rank, .steps, .init(name: "rank \(rank) on \(header.host)")),
        metadata("process_sort_index", rank, .steps, .init(sortIndex: rank)),
      ] + [.steps, .computing, .collectives].flatMap { name(of: $0, rank) }
    }
  }

  private func name(of row: TraceEvent.Row, _ rank: Int) -> [TraceEvent] {
    [
      metadata("thread_name", rank, row, .init(name: row.name)),
      metadata("thread_sort_index", rank, row, .init(sortIndex: row.place)),
    ]
  }

  private func metadata(
    _ kind: String, _ rank: Int, _ row: TraceEvent.Row, _ args: TraceEvent.Arguments
  ) -> TraceEvent {
    TraceEvent(.metadata, kind, "__metadata", rank: rank, row, at: 0, args)
  }

  /// Everything of one step on all ranks.
  private mutating func events(of step: Int) -> [TraceEvent] {
    var events: [TraceEvent] = []
    for (rank, part) in steps.parts[step].enumerated() {
      let number = steps.numbers[step]
      events.append(
        complete("step \(number)", "step", rank, .steps, part.step, .init(step: number)))
      for entry in part.before + part.entries {
        if entry.kind == .segment {
          events.append(segment(entry, rank))
        } else {
          events += collective(entry, rank)
        }
      }
    }
    return events
  }

  private func complete(
    _ name: String, _ category: String, _ rank: Int, _ row: TraceEvent.Row,
    _ entry: RankRecord.Entry, _ args: TraceEvent.Arguments
  ) -> TraceEvent {
    TraceEvent(
      .complete, name, category, rank: rank, row, at: entry.issue - origin,
      for: entry.end - entry.issue, args)
  }

  private func segment(_ entry: RankRecord.Entry, _ rank: Int) -> TraceEvent {
    let (layer, pass) = (entry.purpose.site, "\(entry.purpose.pass)")
    return complete(
      "\(layer) \(pass)", "computing", rank, .computing, entry, .init(layer: layer, pass: pass))
  }

  /// One rank's part of a collective: when it blocked the rank, when it was in flight, and the arrow
  /// from the last rank to arrive.
  private mutating func collective(_ entry: RankRecord.Entry, _ rank: Int) -> [TraceEvent] {
    let arrival = steps.lastArrival(entry)
    let split = CollectiveSplit(entry, lastArrival: arrival.time)
    let name = entry.purpose.label
    let isStatistics = entry.purpose.kind == "statistics"
    let args = TraceEvent.Arguments(
      layer: isStatistics ? entry.purpose.site : nil,
      pass: isStatistics ? "\(entry.purpose.pass)" : nil, purpose: entry.purpose.kind,
      bytes: entry.bytes, elements: entry.elements, skewMicroseconds: split.skew / 1e3,
      transferMicroseconds: split.transfer / 1e3, inFlightMicroseconds: split.inFlight / 1e3,
      blockedMicroseconds: split.exposed / 1e3, lastRank: arrival.rank)
    func event(_ name: String, _ row: TraceEvent.Row, _ begin: Double, _ end: Double) -> TraceEvent
    {
      TraceEvent(
        .complete, name, "collective", rank: rank, row, at: begin - origin, for: end - begin, args)
    }
    var events: [TraceEvent] = []
    if entry.isBlocking {
      events.append(event(name, .collectives, entry.issue, entry.end))
    } else {
      events.append(event("begin \(name)", .collectives, entry.issue, entry.returned))
      if entry.waitBegin < entry.end {
        events.append(event("wait for \(name)", .collectives, entry.waitBegin, entry.end))
      }
      let lane = lanes[rank].firstIndex { $0 <= entry.issue } ?? lanes[rank].count
      if lane == lanes[rank].count {
        lanes[rank].append(0)
        events += self.name(of: .inFlight(lane), rank)
      }
      lanes[rank][lane] = entry.end
      events.append(event(name, .inFlight(lane), entry.issue, entry.end))
    }
    return events + arrow(to: entry, rank, from: arrival)
  }

  /// An arrow from the last rank to arrive to this rank, if this rank was blocked then.
  private mutating func arrow(
    to entry: RankRecord.Entry, _ rank: Int, from arrival: RecordedSteps.Arrival
  ) -> [TraceEvent] {
    let blocked = entry.isBlocking ? entry.issue : entry.waitBegin
    guard arrival.rank != rank, blocked < arrival.time, arrival.time < entry.end else { return [] }
    flows += 1
    return [(TraceEvent.Phase.flowStart, arrival.rank), (.flowEnd, rank)].map { phase, rank in
      TraceEvent(
        phase, "last arrival", "last arrival", rank: rank, .collectives, at: arrival.time - origin,
        id: flows)
    }
  }
}
