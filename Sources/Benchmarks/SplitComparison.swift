import LockstepAnalysis
public import LockstepConfiguration
public import LockstepFiles
import LockstepModels
import LockstepNorms

/// Whether a slower network shows up as transfer, and not as skew.
public struct SplitComparison: Codable, Sendable {
  /// The split on the slower network.
  public let split: SplitBenchmark
  /// How much longer ranks are blocked for transfer in a step, as the mean over ranks, in milliseconds.
  public let transferGrewMilliseconds: Double
  /// How much longer ranks wait for a slower rank in a step, as the mean over ranks, in milliseconds.
  public let skewGrewMilliseconds: Double
  /// Whether the transfer grew by a tenth or more, and the skew by at most a quarter of that growth.
  ///
  /// Some skew is allowed: a long transfer does not end on all ranks at once, so the first rank to finish
  /// waits for the others at the next layer.
  public let passed: Bool

  private enum CodingKeys: String, CodingKey {
    case split, passed
    case transferGrewMilliseconds = "transfer_grew_ms"
    case skewGrewMilliseconds = "skew_grew_ms"
  }

  /// Throws unless a split of `configuration` on `ranks` ranks can be compared with `fast`, which `file` holds: it has
  /// to be of the same run, in steps that are alike, on two ranks or more.
  public static func check(
    _ configuration: RunConfiguration, ranks: Int, against fast: SplitBenchmark, file: String
  ) throws(ConfigurationError) {
    guard ranks > 1 else {
      throw ConfigurationError(
        "--against",
        "needs two ranks or more, since one rank transfers nothing; start it with Launch/run -n 2 -- lockstep …"
      )
    }
    let (work, norm) = (configuration.name, configuration.model.normName)
    guard work == fast.work, norm == fast.norm, ranks == fast.ranks else {
      throw ConfigurationError(
        file,
        "is of \(fast.work) with \(fast.norm) norm on \(fast.ranks) ranks, but this run is of "
          + "\(work) with \(norm) norm on \(ranks); split the same run on both networks")
    }
    let settings = configuration.model.norm
    guard fast.split.mixedStepsText == nil, !settings.synchronizes || settings.every == 1 else {
      throw ConfigurationError(
        "--against", "compares medians over steps, which have to be alike; leave every out")
    }
  }

  /// Compares `slow` with `fast`, the same run on a faster network.
  public init(_ slow: SplitBenchmark, against fast: SplitBenchmark) {
    split = slow
    func sum(_ split: StepSplit, _ figure: (StepSplit.Site) -> MedianInterval) -> Double {
      split.sites.reduce(0) { $0 + figure($1).median }
    }
    let before = sum(fast.split, \.exposedTransferMilliseconds)
    transferGrewMilliseconds = sum(slow.split, \.exposedTransferMilliseconds) - before
    skewGrewMilliseconds =
      sum(slow.split, \.exposedSkewMilliseconds) - sum(fast.split, \.exposedSkewMilliseconds)
    passed =
      transferGrewMilliseconds >= before / 10
      && skewGrewMilliseconds <= transferGrewMilliseconds / 4
  }
}
