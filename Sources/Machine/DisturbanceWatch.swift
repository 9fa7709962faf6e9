import Foundation
import LockstepCollectives
public import LockstepRecording

/// Notices what comes between this thread's steps and its processor.
///
/// Kernels switch every thread out some ten times a second for some microseconds, whatever else runs: what
/// takes less than a fiftieth of a step is no disturbance. Nor is what the kernel does in threads of its own
/// for this process, such as sending its messages: there has to be another process that computes.
public final class DisturbanceWatch {
  private let countsSwitches: Bool
  private var before = ThreadUsage()
  private var start: UInt64 = 0
  private var usualFaults: Int?
  private var account = ProcessorAccount()

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

  /// Ends a step that took `milliseconds`, and returns what came between.
  public func end(milliseconds: Double) -> StepDisturbance.Causes {
    let now = ThreadUsage.current()
    var causes = causes(now, at: monotonicNanoseconds())
    let faults = now.pageFaults - before.pageFaults
    // A fault takes about half a microsecond: a fiftieth of the step. A step that always faults as much
    // costs as much.
    let limit = 2 * (usualFaults ?? faults) + max(16, Int(40 * milliseconds))
    if faults > limit { causes.insert(.faulted) }
    usualFaults = faults
    account.look()
    if countsSwitches, account.isMuchStolen { causes.insert(.stolen) }
    return causes
  }

  private func causes(_ now: ThreadUsage, at time: UInt64) -> StepDisturbance.Causes {
    var causes: StepDisturbance.Causes = []
    if now.readsFromDisk > before.readsFromDisk { causes.insert(.faulted) }
    let elapsed = Double(time - start)
    let lost = elapsed - Double(now.running - before.running)
    guard countsSwitches, lost > Self.tolerance * elapsed else { return causes }
    if now.switches > before.switches {
      if account.hasNeighbour { causes.insert(.preempted) }
    } else if now.waits == before.waits {
      // The system's own account leaves out what the hypervisor took.
      causes.insert(.stolen)
    }
    return causes
  }
}

/// Who had the processors on which this process may run, in the last half of a second or longer.
package struct ProcessorAccount {
  private let processors = Set(Processors.allowed.map { "cpu\($0)" })
  private var ticks: Ticks?
  private var own = 0.0
  private var lastLook: UInt64 = 0
  /// Whether the hypervisor took more than a fiftieth.
  private(set) var isMuchStolen = false
  /// Whether other processes computed for more than a twentieth; true before it is known.
  private(set) var hasNeighbour = true

  /// The system counts in hundredths of a second, and reading it takes some ten microseconds.
  private static let pause: UInt64 = 500_000_000
  private static let neighbourShare = 0.05

  /// Hundredths of a second.
  package struct Ticks: Hashable {
    /// Processes in user mode.
    package let user: Int
    /// The hypervisor.
    package let stolen: Int
  }

  /// The hundredths of a second so far; nil where the system does not say.
  static func now() -> Ticks? {
    ticks(stat, Set(Processors.allowed.map { "cpu\($0)" }))
  }

  private static var stat: String {
    (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? ""
  }

  /// Looks, if the last look was long enough ago.
  mutating func look() {
    let now = monotonicNanoseconds()
    let elapsed = Double(now - lastLook) / 1e9
    guard now - lastLook >= Self.pause else {
      // What was stolen was of the steps before the last look.
      isMuchStolen = false
      return
    }
    let (isFirst, ownNow) = (lastLook == 0, ResourceUsage.current().userSeconds)
    lastLook = now
    let ticksNow = Self.ticks(Self.stat, processors)
    defer { (ticks, own) = (ticksNow, ownNow) }
    guard !isFirst, let ticksNow, let ticks else { return }
    let count = Double(max(1, processors.count))
    isMuchStolen =
      Double(ticksNow.stolen - ticks.stolen) / 100 > DisturbanceWatch.tolerance * elapsed * count
    let others = Double(ticksNow.user - ticks.user) / 100 - (ownNow - own)
    hasNeighbour = others > Self.neighbourShare * elapsed
  }

  /// The hundredths of a second of `processors` as `/proc/stat` has them, in user mode, niced or not, and
  /// stolen: the first two and the eighth number of a processor's line; nil where it has none.
  package static func ticks(_ stat: String, _ processors: Set<String>) -> Ticks? {
    var sum: Ticks?
    for line in stat.split(separator: "\n") {
      guard line.hasPrefix("cpu") else { break }
      let fields = line.split(separator: " ")
      guard fields.count > 8, processors.contains(String(fields[0])), let user = Int(fields[1]),
        let nice = Int(fields[2]), let stolen = Int(fields[8])
      else { continue }
      sum = Ticks(
        user: (sum?.user ?? 0) + user + nice, stolen: (sum?.stolen ?? 0) + stolen)
    }
    return sum
  }
}
