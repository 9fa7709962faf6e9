import Collectives
import Foundation

/// Notices what comes between this thread's steps and its processor.
public final class DisturbanceWatch {
  private let countsSwitches: Bool
  private var before = ThreadUsage()
  private var usualFaults: Int?
  private var stolen = StolenTime()

  /// A watch of the calling thread, before any step.
  ///
  /// Where ranks share cores they hand them to each other while they wait, which counts as being switched
  /// out: then it is not counted.
  public init(countsSwitches: Bool) { self.countsSwitches = countsSwitches }

  /// Begins a step.
  public func begin() { before = .current() }

  /// What has come between since the step began.
  public func causes() -> StepDisturbance.Causes { causes(.current()) }

  /// Ends a step of so many milliseconds: what came between.
  public func end(milliseconds: Double) -> StepDisturbance.Causes {
    let now = ThreadUsage.current()
    var causes = causes(now)
    let faults = now.pageFaults - before.pageFaults
    // A fault takes about half a microsecond: a two-hundredth of the step. A step that always faults as much
    // costs as much.
    let limit = 2 * (usualFaults ?? faults) + max(16, Int(10 * milliseconds))
    if faults > limit { causes.insert(.faulted) }
    usualFaults = faults
    if stolen.hasRisen() { causes.insert(.stolen) }
    return causes
  }

  private func causes(_ now: ThreadUsage) -> StepDisturbance.Causes {
    var causes: StepDisturbance.Causes = []
    if countsSwitches, now.switches > before.switches { causes.insert(.preempted) }
    if now.readsFromDisk > before.readsFromDisk { causes.insert(.faulted) }
    return causes
  }
}

/// The time that the hypervisor took of the processors on which this process may run.
struct StolenTime {
  private let processors = Set(Processors.allowed.map { "cpu\($0)" })
  private var ticks: Int?
  private var lastLook: UInt64 = 0

  /// The file is read no more often than this: reading it takes some ten microseconds, and it counts in
  /// hundredths of a second.
  private static let pause: UInt64 = 50_000_000

  /// The hundredths of a second taken so far of the processors on which this process may run; nil where the
  /// system does not say.
  static func now() -> Int? {
    ticks(
      (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? "",
      Set(Processors.allowed.map { "cpu\($0)" }))
  }

  /// Whether any was taken since the last look; false where the last look was a moment ago.
  mutating func hasRisen() -> Bool {
    let now = monotonicNanoseconds()
    guard now - lastLook >= Self.pause else { return false }
    lastLook = now
    let taken = Self.ticks(
      (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? "", processors)
    defer { ticks = taken }
    guard let taken, let ticks else { return false }
    return taken > ticks
  }

  /// The hundredths of a second stolen from `processors` as `/proc/stat` has them: the eighth number of a
  /// processor's line; nil where it has none.
  static func ticks(_ stat: String, _ processors: Set<String>) -> Int? {
    var sum: Int?
    for line in stat.split(separator: "\n") {
      guard line.hasPrefix("cpu") else { break }
      let fields = line.split(separator: " ")
      guard fields.count > 8, processors.contains(String(fields[0])), let ticks = Int(fields[8])
      else { continue }
      sum = (sum ?? 0) + ticks
    }
    return sum
  }
}
