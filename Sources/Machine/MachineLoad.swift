import Foundation
import LockstepCollectives
import LockstepFiles

/// Which other processes ran on this machine for a moment.
public struct MachineLoad: Codable, Sendable {
  /// A process that took processor time.
  public struct Neighbour: Codable, Hashable, Sendable {
    /// Its command's name.
    public let name: String
    /// Its number.
    public let process: Int
    /// How many cores it took, on average.
    public let cores: Double
  }

  /// The machine's name.
  public let host: String
  /// The processes that took a twentieth of a core or more, the greediest first.
  public let neighbours: [Neighbour]

  /// Looks for a given number of seconds at which processes run on this machine, apart from `own`.
  ///
  /// The calling thread sleeps meanwhile, and the rest of its process should too.
  public init(seconds: Double, excluding own: Set<Int>) {
    host = ProcessInfo.processInfo.hostName
    let before = Self.times()
    let start = monotonicNanoseconds()
    Thread.sleep(forTimeInterval: seconds)
    let elapsed = Double(monotonicNanoseconds() - start) / 1e9
    neighbours = Self.times().compactMap { process, now -> Neighbour? in
      guard !own.contains(process) else { return nil }
      // A process that started meanwhile has used all of its time since then.
      let cores = Double(now.ticks - (before[process]?.ticks ?? 0)) / Self.ticksPerSecond / elapsed
      guard cores >= 0.05 else { return nil }
      return Neighbour(
        name: now.name, process: process, cores: (100 * cores).rounded() / 100)
    }.sorted { ($1.cores, $0.process) < ($0.cores, $1.process) }
  }

  /// Linux's `USER_HZ`.
  private static let ticksPerSecond = 100.0

  /// "other processes take 1.2 cores of HOST: swift-build (812) 0.9, python3 (77) 0.3"; nil if none do.
  public var text: String? {
    guard !neighbours.isEmpty else { return nil }
    let sum = neighbours.reduce(0) { $0 + $1.cores }
    let named = neighbours.prefix(3).map { "\($0.name) (\($0.process)) \(fixed($0.cores, 1))" }
    let more = neighbours.count > 3 ? " and \(neighbours.count - 3) more" : ""
    return "other processes take \(fixed(sum, 1)) cores of \(host): "
      + named.joined(separator: ", ") + more
  }

  /// The processor time of every process, in ticks.
  private static func times() -> [Int: (name: String, ticks: Int)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    var times: [Int: (String, Int)] = [:]
    for process in names.compactMap({ Int($0) }) {
      guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
      else { continue }
      times[process] = parse(stat)
    }
    return times
  }

  /// The name, and the ticks in user and system mode, from the text of `/proc/PID/stat`; nil if it has none.
  ///
  /// The name stands in parentheses and may hold any character.
  package static func parse(_ stat: String) -> (name: String, ticks: Int)? {
    guard let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"), open < close
    else { return nil }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
      return nil
    }
    let name = stat[stat.index(after: open)..<close].filter { !$0.isNewline }
    return (String(name), user + system)
  }
}
