import Glibc

/// What this process has used so far.
public struct ResourceUsage: Sendable {
  /// Pages touched for the first time (`ru_minflt`).
  public let pageFaults: Int
  /// The largest resident set, in MiB (`ru_maxrss`).
  public let peakMebibytes: Double

  /// Asks the system.
  public static func current() -> ResourceUsage {
    var usage = rusage()
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return ResourceUsage(
      pageFaults: usage.ru_minflt, peakMebibytes: Double(usage.ru_maxrss) / 1024)
  }
}
