import Foundation
public import LockstepCollectives

/// The contents of `events/rank-N.json` in a run directory, which describes the rank's events.
public struct EventFileHeader: Codable, Hashable, Sendable {
  /// The format's version.
  public var format = 1
  /// A text that identifies the run: the same on all its ranks, and different for every run.
  public var run: String
  /// The rank.
  public var rank: Int
  /// The number of ranks.
  public var ranks: Int
  /// The machine's name.
  public var host: String
  /// The names that events carry as numbers.
  public var names: [String] = []
  /// The first rank of the group of each recorded communicator.
  public var groups: [Int] = []
  /// The comparisons of the rank's clock with rank 0's: two if the run ended, one if it was killed.
  public var clock: [ClockOffset.Reading] = []

  /// The header of one rank's events.
  public init(run: String, rank: Int, ranks: Int, host: String) {
    (self.run, self.rank, self.ranks, self.host) = (run, rank, ranks, host)
  }
}

/// One rank's files of events in a run directory.
///
/// Events are appended to one of two files. When it is full, the other file is emptied and takes the
/// next events. So a run of any length keeps its last events in bounded space, and a run that is
/// killed leaves the events that it had written.
struct EventFiles {
  private let folder: String
  private let rank: Int

  init(run path: String, rank: Int) {
    folder = "\(path)/events"
    self.rank = rank
  }

  /// The largest size of a file, in bytes: about 58,000 events.
  static let limit = 4 << 20

  var header: String { "\(folder)/rank-\(rank).json" }
  var halves: [String] { (0...1).map { "\(folder)/rank-\(rank).\($0).events" } }

  func makeFolder() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  func write(_ header: EventFileHeader) throws {
    try JSONEncoder().encode(header).write(to: URL(fileURLWithPath: self.header), options: .atomic)
  }
}

/// Writes one rank's events into a run directory while the run goes on.
public final class EventRecorder {
  private let log: EventLog
  private let files: EventFiles
  private var header: EventFileHeader
  private var half = 0
  private var size = 0
  private var file: FileHandle?
  private var next = 0
  private var lastWrite = monotonicNanoseconds()

  /// Begins to write what `log` records from now on into the run directory at `path`.
  ///
  /// `clock` compares this rank's clock with rank 0's now.
  ///
  /// - Throws: the file system's errors.
  public init(
    run path: String, _ header: EventFileHeader, log: EventLog, clock: ClockOffset.Reading
  ) throws {
    self.log = log
    self.header = header
    files = EventFiles(run: path, rank: header.rank)
    self.header.clock = [clock]
    next = log.count
    try files.makeFolder()
    // If the run was started again, its old events are on another clock.
    try? FileManager.default.removeItem(atPath: files.halves[1])
    try files.write(self.header)
    file = try Self.open(files.halves[0])
  }

  private static func open(_ path: String) throws -> FileHandle {
    try Data().write(to: URL(fileURLWithPath: path))
    return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
  }

  /// Leaves out the events not yet written, because another run recorded them.
  public func resume() { next = log.count }

  private static let second: UInt64 = 1_000_000_000

  /// Writes the new events if they fill an eighth of the log, or a second has passed since the last write.
  ///
  /// `groups` has the first rank of each recorded communicator.
  public func stepTaken(groups: [Int]) throws {
    let isDue =
      (log.count - next) * 8 >= log.capacity
      || monotonicNanoseconds() - lastWrite >= Self.second
    if isDue { try write(groups: groups) }
  }

  /// Writes all new events now.
  ///
  /// This is needed before another run records in the same log.
  public func write(groups: [Int]) throws {
    let texts = EventName.texts
    if texts.count != header.names.count || groups.count != header.groups.count {
      (header.names, header.groups) = (texts, groups)
      try files.write(header)
    }
    let bytes = log.bytes(from: next)
    next = log.count
    lastWrite = monotonicNanoseconds()
    guard !bytes.isEmpty else { return }
    if size > 0, size + bytes.count > EventFiles.limit {
      try file?.close()
      half = 1 - half
      file = try Self.open(files.halves[half])
      size = 0
    }
    try file?.write(contentsOf: Data(bytes))
    size += bytes.count
  }

  /// Writes what is left and the second comparison of the clocks.
  public func finish(groups: [Int], clock: ClockOffset.Reading) throws {
    try write(groups: groups)
    header.clock.append(clock)
    try files.write(header)
    try file?.close()
    file = nil
  }
}
