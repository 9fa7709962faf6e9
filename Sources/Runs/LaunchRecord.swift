import Foundation

/// How a run was started; `launch.json` of its directory.
public struct LaunchRecord: Codable, Hashable, Sendable {
  /// The command line, the launcher's where there is one, as a shell takes it.
  public let command: String
  /// The number of ranks.
  public let ranks: Int
  /// When, in UTC.
  public let started: String
  /// How it was started again to go on, in order; nil if it was not.
  public internal(set) var resumed: [Resumed]?

  /// A start that went on from a checkpoint.
  public struct Resumed: Codable, Hashable, Sendable {
    /// The steps that had been taken.
    public let step: Int
    /// The command line.
    public let command: String
    /// The number of ranks.
    public let ranks: Int
    /// When, in UTC.
    public let started: String
  }

  /// Adds this process's start after `step` steps as one of `ranks`.
  mutating func resume(after step: Int, ranks: Int) {
    let start = LaunchRecord(ranks: ranks)
    let record = Resumed(
      step: step, command: start.command, ranks: ranks, started: start.started)
    resumed = ((resumed ?? []) + [record]).suffix(Self.limit)
  }

  /// How many of the latest starts are kept.
  private static let limit = 1000

  /// Describes this process as one of `ranks`.
  init(ranks: Int) {
    command = Self.command.map(Self.quoted).joined(separator: " ")
    self.ranks = ranks
    started = Date().formatted(.iso8601)
  }

  /// Reads the record of the run directory at `path`, or nil where there is none.
  public init?(run path: String) {
    guard let data = FileManager.default.contents(atPath: "\(path)/launch.json"),
      let record = try? JSONDecoder().decode(LaunchRecord.self, from: data)
    else { return nil }
    self = record
  }

  private static let launchers = ["mpirun", "mpiexec", "orterun", "prterun", "srun"]

  /// The launcher's words if it is this process's parent, as it is on the machine that it was started
  /// on; else this process's.
  private static var command: [String] {
    let own = CommandLine.arguments
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    guard
      let parent = status.split(separator: "\n").first(where: { $0.hasPrefix("PPid:") })?
        .split(whereSeparator: \.isWhitespace).last,
      let line = FileManager.default.contents(atPath: "/proc/\(parent)/cmdline")
    else { return own }
    let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    guard let first = words.first, launchers.contains(URL(fileURLWithPath: first).lastPathComponent)
    else { return own }
    return words
  }

  /// A word as a shell takes it.
  public static func quoted(_ word: String) -> String {
    let isPlain =
      !word.isEmpty
      && word.unicodeScalars.allSatisfy {
        CharacterSet.alphanumerics.contains($0) || "-_./=,:+@%".unicodeScalars.contains($0)
      }
    return isPlain ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}
