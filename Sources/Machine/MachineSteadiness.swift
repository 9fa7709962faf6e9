import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepFiles

/// How steadily one rank's processor works, and so which differences a comparison on it can show.
public struct MachineSteadiness: Codable, Sendable {
  /// How often per second another process took the processor.
  public let switchesPerSecond: Double
  /// The share of the time that the hypervisor took.
  public let stolenShare: Double
  /// The spread of the undisturbed loops' times, from the 10% to the 90% quantile, divided by the median.
  public let spread: Double
  /// The processor's clock in MHz as the system gives it; nil if it does not.
  public let clockMhz: Double?
  /// How much two identical variants may seem to differ in a comparison of some hundred steps.
  ///
  /// It is half of the interval of their ratio, at its widest. It is nil if too few loops were undisturbed.
  public let resolution: Double?
  /// The noise of this processor, for predictions.
  public let noise: MachineNoise

  private enum CodingKeys: String, CodingKey {
    case spread, resolution, noise
    case switchesPerSecond = "switches_per_s"
    case stolenShare = "stolen_share"
    case clockMhz = "clock_mhz"
  }

  /// Repeats a loop of about a millisecond for a given number of seconds.
  public init(seconds: Double, name: String) {
    let watch = DisturbanceWatch(countsSwitches: true)
    var loop = FixedLoop()
    let stolenBefore = ProcessorAccount.now()?.stolen
    let start = monotonicNanoseconds()
    let before = ThreadUsage.current()
    var (clean, disturbed): ([Double], [Double]) = ([], [])
    while Double(monotonicNanoseconds() - start) < seconds * 1e9 {
      watch.begin()
      let begin = monotonicNanoseconds()
      loop.run()
      let milliseconds = Double(monotonicNanoseconds() - begin) / 1e6
      if watch.end(milliseconds: milliseconds).isEmpty {
        clean.append(milliseconds)
      } else {
        disturbed.append(milliseconds)
      }
    }
    let elapsed = Double(monotonicNanoseconds() - start) / 1e9
    switchesPerSecond = Double(ThreadUsage.current().switches - before.switches) / elapsed
    stolenShare = Self.share(
      from: stolenBefore, to: ProcessorAccount.now()?.stolen, seconds: elapsed)
    let sorted = (clean.isEmpty ? disturbed : clean).sorted()
    let median = sorted[sorted.count / 2]
    spread = (sorted[sorted.count * 9 / 10] - sorted[sorted.count / 10]) / median
    clockMhz = Self.clock
    resolution = Self.resolution(clean)
    let detours = disturbed.filter { $0 > median }.map { 1e3 * ($0 - median) }
    noise = MachineNoise(
      name: name, source: "a loop of a millisecond, repeated for \(fixed(elapsed, 1)) s",
      // Per second of computing, to which detours do not belong.
      detoursPerSecond: Double(detours.count) / max(1e-3, elapsed - detours.reduce(0, +) / 1e6),
      detourMicroseconds: detours)
  }

  private static func share(from before: Int?, to after: Int?, seconds: Double) -> Double {
    guard let before, let after else { return 0 }
    return Double(after - before) / 100 / seconds / Double(max(1, Processors.allowed.count))
  }

  /// Half of the widest interval of the ratio of the same loop to itself.
  ///
  /// The intervals are over blocks of 24 rounds of two turns. A turn has as many loops as a turn of a
  /// comparison has counted steps.
  private static func resolution(_ times: [Double]) -> Double? {
    let turn = Interleaving.turn - 1
    let turns = stride(from: 0, to: times.count - turn + 1, by: turn).map {
      MedianInterval(Array(times[$0..<$0 + turn])).median
    }
    let ratios = stride(from: 0, to: turns.count - 1, by: 2).map { turns[$0 + 1] / turns[$0] }
    let widths = stride(from: 0, to: ratios.count - 23, by: 24).map { first in
      let interval = PairedRatio(Array(ratios[first..<first + 24]), comparisons: 1).ratio
      return max(interval.high - 1, 1 - interval.low)
    }
    return widths.max()
  }

  private static var clock: Double? {
    let info = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = info.split(separator: "\n").first { $0.hasPrefix("cpu MHz") }
    return line?.split(separator: ":").last.flatMap {
      Double($0.trimmingCharacters(in: .whitespaces))
    }
  }
}

/// About a millisecond of computing in registers alone.
///
/// No compiler can shorten it, because each turn takes the result of the one before.
private struct FixedLoop {
  private var value: UInt64 = 1
  private var turns = 100_000

  /// Creates a loop with as many turns as take a millisecond on this machine.
  init() {
    run()
    let start = monotonicNanoseconds()
    run()
    let elapsed = max(1, Double(monotonicNanoseconds() - start))
    turns = max(1, Int(Double(turns) * 1e6 / elapsed))
  }

  /// Runs the loop once.
  @inline(never)
  mutating func run() {
    for _ in 0..<turns { value = (value ^ value >> 29) &* 6_364_136_223_846_793_005 }
  }
}

extension MachineSteadiness {
  /// The figures in words.
  package var text: String {
    let clock = clockMhz.map { "\(counted($0.rounded())) MHz, " } ?? ""
    let resolved =
      resolution.map {
        "; a comparison of 24 rounds can tell differences of \(fixed(100 * $0, 2))% or more"
      } ?? "; too busy to tell any difference"
    return clock + "switched out \(fixed(switchesPerSecond, 1)) times a second, "
      + "\(fixed(100 * stolenShare, 1))% stolen, a fixed loop's times spread by \(fixed(100 * spread, 2))%"
      + resolved
  }
}
