import Foundation

/// How a run was started, as `launch.json` of its directory says.
public struct LaunchRecord: Codable, Hashable, Sendable {
  /// The command line, quoted for a shell: the launcher's if there is one.
  public let command: String
  /// The number of ranks.
  public let ranks: Int
  /// When the run was started, in UTC.
  public let started: String
  /// The name and version of the MPI library; nil in runs of earlier versions.
  public let library: String?
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
    /// The name and version of the MPI library; nil in runs of earlier versions.
    public let library: String?
    /// When the run was resumed, in UTC.
    public let started: String
  }

  /// Adds this process's start, with `ranks` ranks and after `step` steps.
  mutating func resume(after step: Int, ranks: Int, library: String?) {
    let start = LaunchRecord(ranks: ranks, library: library)
    let record = Resumed(
      step: step, command: start.command, ranks: ranks, library: library,
      started: start.started)
    resumed = ((resumed ?? []) + [record]).suffix(Self.limit)
  }

  /// How many of the latest starts are kept, so that the file stays small.
  private static let limit = 1000

  /// Describes how this process was started, as one of `ranks` ranks of an MPI `library`.
  init(ranks: Int, library: String?) {
    command = Self.command.map(Self.quoted).joined(separator: " ")
    (self.ranks, self.library) = (ranks, library)
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
  /// What launchers start on each node, also on the one that they run on themselves.
  private static let proxies = ["hydra_", "prted", "orted"]

  /// The words of the command line: the launcher's if one on this machine started this process, else this
  /// process's own.
  ///
  /// The launcher is on the machine that it was started on, and there it is the parent of its ranks or of
  /// its proxy, which is theirs.
  private static var command: [String] {
    let own = CommandLine.arguments
    var process = "self"
    while let parent = parent(of: process) {
      guard let line = FileManager.default.contents(atPath: "/proc/\(parent)/cmdline") else {
        return own
      }
      // A launcher may be a script, whose interpreter comes first.
      let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      let names = words.prefix(2).map { URL(fileURLWithPath: $0).lastPathComponent }
      if let place = names.firstIndex(where: { name in launchers.contains(where: name.hasPrefix) })
      {
        return Array(words.dropFirst(place))
      }
      guard proxies.contains(where: { names.first?.hasPrefix($0) == true }) else { return own }
      process = parent
    }
    return own
  }

  private static func parent(of process: String) -> String? {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("PPid:") }
    return line?.split(whereSeparator: \.isWhitespace).last.map(String.init)
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
