import Foundation
import Glibc

/// Tells when the launcher that started this job has died.
///
/// It watches all processes from this one's parent up to the launcher.
struct LauncherWatch {
  private struct Ancestor {
    let process: pid_t
    /// The start time, which tells it from a later process with the same number.
    let start: String
  }

  /// How the names of launchers and their agents begin.
  private static let launchers = [
    "mpirun", "mpiexec", "orterun", "orted", "prte", "hydra_", "mpispawn", "slurmstepd",
  ]

  private let parent = getppid()
  private let ancestors: [Ancestor]

  /// Begins to watch; nil if none of this process's ancestors is a launcher.
  ///
  /// Then the launcher is not known, and a parent that is a shell may rightly end before the job.
  init?() {
    var chain: [Ancestor] = []
    var next = parent
    while next > 1, let status = Self.status(of: next) {
      chain.append(Ancestor(process: next, start: status.start))
      if Self.launchers.contains(where: { status.name.hasPrefix($0) }) {
        ancestors = chain
        return
      }
      next = status.parent
    }
    return nil
  }

  /// Whether one of the watched processes is gone.
  var isGone: Bool {
    getppid() != parent || ancestors.contains { Self.status(of: $0.process)?.start != $0.start }
  }

  /// A process's name, parent and start time from /proc; nil if it has ended.
  private static func status(of process: pid_t) -> (name: String, parent: pid_t, start: String)? {
    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else {
      return nil
    }
    let text = String(decoding: data, as: UTF8.self)
    // The name stands in parentheses, and may hold any character.
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")") else {
      return nil
    }
    let fields = text[text.index(after: close)...].split(separator: " ")
    guard fields.count > 19, fields[0] != "Z", let parent = pid_t(fields[1]) else { return nil }
    return (String(text[text.index(after: open)..<close]), parent, String(fields[19]))
  }
}
