import Foundation

/// How a run was started, as `launch.json` of its directory says.
public struct LaunchRecord: Codable, Hashable, Sendable {
  /// The command line, quoted for a shell: the launcher's if there is one.
  public let command: String
  /// The number of ranks.
  public let ranks: Int
  /// When the run was started, in UTC.
  public let started: String
  /// The later starts that resumed the run, in order; nil if there were none.
  public internal(set) var resumed: [Resumed]?

  /// A start that resumed the run from a checkpoint.
  public struct Resumed: Codable, Hashable, Sendable {
    /// The steps that had been taken.
    public let step: Int
    /// The command line.
    public let command: String
    /// The number of ranks.
    public let ranks: Int
    /// When the run was resumed, in UTC.
    public let started: String
  }

  /// Adds this process's start, with `ranks` ranks and after `step` steps.
  mutating func resume(after step: Int, ranks: Int) {
    let start = LaunchRecord(ranks: ranks)
    let record = Resumed(
      step: step, command: start.command, ranks: ranks, started: start.started)
    resumed = ((resumed ?? []) + [record]).suffix(Self.limit)
  }

  /// How many of the latest starts are kept, so that the file stays small.
  private static let limit = 1000

  /// Describes how this process was started, as one of `ranks` ranks.
  init(ranks: Int) {
    command = Self.command.map(Self.quoted).joined(separator: " ")
    self.ranks = ranks
    started = Date().formatted(.iso8601)
  }

  /// Reads the record of the run directory at `path`; nil if there is none.
  public init?(run path: String) {
    guard let data = FileManager.default.contents(atPath: "\(path)/launch.json"),
      let record = try? JSONDecoder().decode(LaunchRecord.self, from: data)
    else { return nil }
    self = record
  }

  private static let launchers = ["mpirun", "mpiexec", "orterun", "prterun", "srun"]

  /// The words of the command line: the launcher's if it is this process's parent, else this process's own.
  ///
  /// The launcher is the parent on the machine that it was started on.
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

  /// A word, quoted for a shell if need be.
  public static func quoted(_ word: String) -> String {
    let isPlain =
      !word.isEmpty
      && word.unicodeScalars.allSatisfy {
        CharacterSet.alphanumerics.contains($0) || "-_./=,:+@%".unicodeScalars.contains($0)
      }
    return isPlain ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}
