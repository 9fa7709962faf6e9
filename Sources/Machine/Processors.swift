import Foundation

/// The logical processors of this machine.
public enum Processors {
  /// The processors that this process may run on, as the system writes them: "0-3,8".
  public static var allowedText: String {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    return line?.split(whereSeparator: \.isWhitespace).last.map(String.init) ?? "unknown"
  }

  /// The processors that this process may run on.
  public static var allowed: [Int] { numbers(allowedText) }

  /// The first logical processor of each core that has one in `processors`.
  ///
  /// Logical processors that share a core share its time.
  public static func cores(_ processors: [Int]) -> [Int] {
    let cores = processors.map { processor in
      let path = "/sys/devices/system/cpu/cpu\(processor)/topology/thread_siblings_list"
      let siblings = try? String(contentsOfFile: path, encoding: .utf8)
      return siblings.flatMap { numbers($0.trimmingCharacters(in: .whitespacesAndNewlines)).first }
        ?? processor
    }
    return Set(cores).sorted()
  }

  /// The numbers of a list like "0-3,8".
  public static func numbers(_ list: String) -> [Int] {
    list.split(separator: ",").flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }
}
