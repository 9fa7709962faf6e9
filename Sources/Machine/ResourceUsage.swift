import Glibc

/// What this process has used so far.
public struct ResourceUsage: Sendable {
  /// Pages touched for the first time (`ru_minflt`).
  public let pageFaults: Int
  /// The largest resident set, in MiB (`ru_maxrss`).
  public let peakMebibytes: Double
  /// How long its threads have run in user mode, in seconds (`ru_utime`).
  public let userSeconds: Double

  /// Asks the system.
  public static func current() -> ResourceUsage {
    var usage = rusage()
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return ResourceUsage(
      pageFaults: usage.ru_minflt, peakMebibytes: Double(usage.ru_maxrss) / 1024,
      userSeconds: Double(usage.ru_utime.tv_sec) + Double(usage.ru_utime.tv_usec) / 1e6)
  }
}

/// What the calling thread has used so far, and how often it was switched out.
struct ThreadUsage: Sendable {
  /// How often it was switched out against its will (`ru_nivcsw`).
  ///
  /// Calls of `sched_yield` that let another thread run count too.
  var switches = 0
  /// How often it gave the processor away by itself, to wait for something (`ru_nvcsw`).
  var waits = 0
  /// How long it has run, in nanoseconds.
  var running: UInt64 = 0
  /// Pages touched for the first time (`ru_minflt`).
  var pageFaults = 0
  /// Pages read from disk (`ru_majflt`).
  var readsFromDisk = 0

  /// Linux's `RUSAGE_THREAD`, which the C library declares only for GNU sources.
  private static let thread = __rusage_who_t(1)

  /// Asks the system, which takes less than a microsecond.
  static func current() -> ThreadUsage {
    var usage = rusage()
    _ = unsafe getrusage(thread, &usage)
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return ThreadUsage(
      switches: usage.ru_nivcsw, waits: usage.ru_nvcsw,
      running: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec),
      pageFaults: usage.ru_minflt, readsFromDisk: usage.ru_majflt)
  }
}
