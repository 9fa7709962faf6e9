import Foundation
import LockstepCollectives
public import LockstepRecording

/// Notices what disturbs this thread's steps from outside.
///
/// Kernels switch every thread out some ten times a second for some microseconds, whatever else runs. So
/// less than a fiftieth of a step is not a disturbance. Neither is the work of kernel threads for this
/// process, such as sending its messages. A switch counts only if another process computes.
public final class DisturbanceWatch {
  private let countsSwitches: Bool
  private var before = ThreadUsage()
  private var start: UInt64 = 0
  private var usualFaults: Int?
  private var account = ProcessorAccount()
  /// What ``causes()`` has told of this step.
  private var told: StepDisturbance.Causes = []
  /// That the step before lost time to the hypervisor, if it was not told then.
  private var stolenBefore: StepDisturbance.Causes = []

  /// The share of a step that may be lost without a disturbance.
  static let tolerance = 0.02

  /// Creates a watch of the calling thread, before any step.
  ///
  /// Ranks that share cores hand them to each other while they wait, and the system counts that as being
  /// switched out. Then `countsSwitches` has to be false.
  public init(countsSwitches: Bool) { self.countsSwitches = countsSwitches }

  /// Begins a step.
  public func begin() {
    told = []
    before = .current()
    start = monotonicNanoseconds()
  }

  /// What has disturbed the step so far, for the other ranks: with time that was stolen from the step before, which was
  /// not known until its end.
  public func causes() -> StepDisturbance.Causes {
    told = causes(.current(), at: monotonicNanoseconds())
    return told.union(stolenBefore)
  }

  /// Ends a step that took `milliseconds`, and returns what disturbed it.
  public func end(milliseconds: Double) -> StepDisturbance.Causes {
    let now = ThreadUsage.current()
    var causes = causes(now, at: monotonicNanoseconds())
    let faults = now.pageFaults - before.pageFaults
    // A fault takes about half a microsecond, so 40 per millisecond are a fiftieth of the step. If steps
    // always have so many faults, that is simply what they cost.
    let limit = 2 * (usualFaults ?? faults) + max(16, Int(40 * milliseconds))
    if faults > limit { causes.insert(.faulted) }
    usualFaults = faults
    account.look()
    if countsSwitches, account.isMuchStolen { causes.insert(.stolen) }
    stolenBefore = causes.subtracting(told).intersection(.stolen)
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
      // It neither waited nor was switched out, so the hypervisor took the time. The system leaves such
      // time out of its own account.
      causes.insert(.stolen)
    }
    return causes
  }
}

/// Who used the processors on which this process may run, in the last half second or longer.
package struct ProcessorAccount {
  private let processors = Set(Processors.allowed.map { "cpu\($0)" })
  private var ticks: Ticks?
  private var own = 0.0
  private var lastLook: UInt64 = 0
  /// Whether the hypervisor took more than a fiftieth of their time.
  private(set) var isMuchStolen = false
  /// Whether other processes computed for more than a twentieth of the time; true before it is known.
  private(set) var hasNeighbour = true

  /// The shortest time between two looks, in nanoseconds.
  ///
  /// The system counts in hundredths of a second, and reading its counts takes some ten microseconds.
  private static let pause: UInt64 = 500_000_000
  private static let neighbourShare = 0.05

  /// Processor time in hundredths of a second.
  package struct Ticks: Hashable {
    /// The time of processes in user mode.
    package let user: Int
    /// The time that the hypervisor took.
    package let stolen: Int
  }

  /// The processor time so far; nil if the system does not say.
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
      // The stolen time belonged to the steps before the last look.
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

  /// The time of `processors` in user mode and stolen, from the text of `/proc/stat`; nil if it has none.
  ///
  /// The first two numbers of a processor's line are user mode, niced or not. The eighth is stolen time.
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
