import Collectives
import Foundation

/// Notices what comes between this thread's steps and its processor.
///
/// Kernels switch every thread out some ten times a second for some microseconds, whatever else runs: what
/// takes less than a fiftieth of a step is no disturbance.
public final class DisturbanceWatch {
  private let countsSwitches: Bool
  private var before = ThreadUsage()
  private var start: UInt64 = 0
  private var usualFaults: Int?
  private var stolen = StolenTime()

  /// The share of a step that may be lost.
  static let tolerance = 0.02

  /// A watch of the calling thread, before any step.
  ///
  /// Where ranks share cores they hand them to each other while they wait, which counts as being switched
  /// out: then it is not counted.
  public init(countsSwitches: Bool) { self.countsSwitches = countsSwitches }

  /// Begins a step.
  public func begin() {
    before = .current()
    start = monotonicNanoseconds()
  }

  /// What has come between since the step began.
  public func causes() -> StepDisturbance.Causes { causes(.current(), at: monotonicNanoseconds()) }

  /// Ends a step of so many milliseconds: what came between.
  public func end(milliseconds: Double) -> StepDisturbance.Causes {
    let now = ThreadUsage.current()
    var causes = causes(now, at: monotonicNanoseconds())
    let faults = now.pageFaults - before.pageFaults
    // A fault takes about half a microsecond: a fiftieth of the step. A step that always faults as much
    // costs as much.
    let limit = 2 * (usualFaults ?? faults) + max(16, Int(40 * milliseconds))
    if faults > limit { causes.insert(.faulted) }
    usualFaults = faults
    if countsSwitches, stolen.isMuch() { causes.insert(.stolen) }
    return causes
  }

  private func causes(_ now: ThreadUsage, at time: UInt64) -> StepDisturbance.Causes {
    var causes: StepDisturbance.Causes = []
    if now.readsFromDisk > before.readsFromDisk { causes.insert(.faulted) }
    let elapsed = Double(time - start)
    let lost = elapsed - Double(now.running - before.running)
    guard countsSwitches, lost > Self.tolerance * elapsed else { return causes }
    if now.switches > before.switches {
      causes.insert(.preempted)
    } else if now.waits == before.waits {
      // The system's own account leaves out what the hypervisor took.
      causes.insert(.stolen)
    }
    return causes
  }
}

/// The time that the hypervisor took of the processors on which this process may run.
package struct StolenTime {
  private let processors = Set(Processors.allowed.map { "cpu\($0)" })
  private var ticks: Int?
  private var lastLook: UInt64 = 0

  /// The file is read no more often than this: reading it takes some ten microseconds, and it counts in
  /// hundredths of a second.
  private static let pause: UInt64 = 500_000_000

  /// The hundredths of a second taken so far of the processors on which this process may run; nil where the
  /// system does not say.
  static func now() -> Int? {
    ticks(
      (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? "",
      Set(Processors.allowed.map { "cpu\($0)" }))
  }

  /// Whether more than a fiftieth of the time since the last look was taken; false where the last look was a
  /// moment ago.
  mutating func isMuch() -> Bool {
    let now = monotonicNanoseconds()
    let elapsed = now - lastLook
    guard elapsed >= Self.pause else { return false }
    lastLook = now
    let taken = Self.ticks(
      (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? "", processors)
    defer { ticks = taken }
    guard let taken, let ticks else { return false }
    return Double(taken - ticks) * 1e7
      > DisturbanceWatch.tolerance * Double(elapsed) * Double(max(1, processors.count))
  }

  /// The hundredths of a second stolen from `processors` as `/proc/stat` has them: the eighth number of a
  /// processor's line; nil where it has none.
  package static func ticks(_ stat: String, _ processors: Set<String>) -> Int? {
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
