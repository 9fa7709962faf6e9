import Foundation
import LockstepCollectives
public import LockstepFiles

/// A run directory whose events cannot be used.
public struct RecordingError: ProgramError, Hashable, Sendable {
  /// The file or folder.
  public let path: String
  /// What is wrong with it, and what to do.
  public let reason: String

  /// Describes what is wrong with the recording at `path`.
  public init(_ path: String, _ reason: String) { (self.path, self.reason) = (path, reason) }

  /// The place and the reason.
  public var description: String { "\(path): \(reason)" }
}

/// The events of all ranks in a run directory, with times on one clock.
public struct RecordedRun: Sendable {
  /// The run directory.
  public let path: String
  /// The header of each rank's event files, in rank order.
  public let headers: [EventFileHeader]
  /// Each rank's events, in rank order.
  ///
  /// They cover the complete steps that all ranks hold, and the time between these steps.
  public let records: [RankRecord]
  /// Whether the run ended rather than being killed; only then were the clocks compared twice.
  public var isComplete: Bool { headers.allSatisfy { $0.clock.count > 1 } }

  /// Reads the events of the run directory at `path`.
  ///
  /// - Throws: ``RecordingError`` if there are no events, a rank's are missing, or they belong to
  ///   different runs.
  public init(path: String) throws(RecordingError) {
    self.path = path
    let first = try Self.header(path, rank: 0)
    var headers = [first]
    for rank in 1..<max(1, first.ranks) {
      let header = try Self.header(path, rank: rank)
      guard header.run == first.run, header.ranks == first.ranks else {
        throw RecordingError(
          EventFiles(run: path, rank: rank).header,
          "these events belong to another run than rank 0's; a run directory holds one run")
      }
      headers.append(header)
    }
    self.headers = headers
    var events: [[Event]] = []
    for header in headers { events.append(try Self.events(path, header)) }
    let whole = events.map { Set($0.filter { $0.kind == .step }.map(\.number)) }
    let common = whole.dropFirst().reduce(whole[0]) { $0.intersection($1) }
    guard let low = common.min(), let high = common.max() else {
      throw RecordingError(
        "\(path)/events", "no step was recorded on all ranks; the run ended within its first step")
    }
    records = zip(headers, events).map { header, events in
      let steps = events.filter { $0.kind == .step && (low...high).contains($0.number) }
      let (begin, end) = (steps.map(\.issue).min() ?? 0, steps.map(\.end).max() ?? 0)
      let reading = header.clock[0]
      return RankRecord(
        events.filter { $0.issue >= begin && $0.end <= end },
        clock: ClockOffset(reading, header.clock.last ?? reading), groups: header.groups)
    }
  }

  private static func header(_ path: String, rank: Int) throws(RecordingError) -> EventFileHeader {
    let file = EventFiles(run: path, rank: rank).header
    guard let data = FileManager.default.contents(atPath: file) else {
      throw FileManager.default.fileExists(atPath: path)
        ? RecordingError(
          rank == 0 ? path : file,
          rank == 0
            ? reasonForNoEvents(path)
            : "the events of rank \(rank) are missing; each rank writes its own, so the run "
              + "directory has to be on a file system that all ranks share")
        : RecordingError(path, "no such run directory")
    }
    guard let header = try? JSONDecoder().decode(EventFileHeader.self, from: data),
      header.rank == rank, header.ranks > rank, let first = header.clock.first,
      let last = header.clock.last, header.clock.allSatisfy(\.isPlausible),
      ClockOffset(first, last).isPlausible
    else { throw RecordingError(file, "is damaged: not the header of rank \(rank)'s events") }
    guard header.format == 1 else {
      throw RecordingError(file, "has format \(header.format); this Lockstep reads format 1")
    }
    return header
  }

  /// Why `path` holds no events: it may be the folder of a comparison, and not one of the runs in it.
  private static func reasonForNoEvents(_ path: String) -> String {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let runs = names.filter {
      FileManager.default.fileExists(atPath: EventFiles(run: "\(path)/\($0)", rank: 0).header)
    }
    return runs.isEmpty
      ? "holds no events; train without --no-events to record them"
      : "holds several runs; name one of them: \(runs.sorted().joined(separator: ", "))"
  }

  /// The events of both files, oldest first, from the first complete step on.
  private static func events(_ path: String, _ header: EventFileHeader) throws(RecordingError)
    -> [Event]
  {
    var halves: [[Event]] = []
    for file in EventFiles(run: path, rank: header.rank).halves {
      guard let data = FileManager.default.contents(atPath: file) else { continue }
      let bytes = [UInt8](data)
      // A run that was killed while it wrote may leave a part of an event at the end.
      let count = bytes.count / Event.byteCount
      var events: [Event] = []
      events.reserveCapacity(count)
      for index in 0..<count {
        let start = index * Event.byteCount
        guard let event = Event(bytes: bytes[start..<start + Event.byteCount], texts: header.names)
        else { throw RecordingError(file, "is damaged: event \(index) of \(count) is invalid") }
        events.append(event)
      }
      if !events.isEmpty { halves.append(events) }
    }
    let events = halves.sorted { $0[0].issue < $1[0].issue }.flatMap { $0 }
    // If a file was emptied, the first step may have lost its beginning.
    guard halves.count > 1, let first = events.firstIndex(where: { $0.kind == .step }) else {
      return events
    }
    return Array(events[(first + 1)...])
  }
}
