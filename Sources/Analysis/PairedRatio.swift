/// What a ratio of step times says.
public enum RatioVerdict: String, Codable, Sendable {
  /// The whole interval lies above 1.
  case slower
  /// The whole interval lies below 1.
  case faster
  /// Neither, or too few rounds for an interval.
  case undecided
}

/// One variant's time over the first one's, from rounds in which both took a turn.
public struct PairedRatio: Codable, Hashable, Sendable {
  /// The median of the rounds' ratios with a distribution-free interval: at a level of 95% for all
  /// comparisons that were made at once (Bonferroni).
  public let ratio: MedianInterval
  /// What the interval says.
  public let verdict: RatioVerdict
  /// How many rounds went in.
  public let rounds: Int

  /// The ratios of some rounds, at least one, as one of several comparisons.
  ///
  /// Where they are not to be `trusted`, nothing is decided.
  public init(_ ratios: [Double], comparisons: Int, trusted: Bool = true) {
    let level = Self.level(comparisons: comparisons)
    ratio = MedianInterval(ratios, level: level)
    rounds = trusted ? ratios.count : 0
    let exists = trusted && MedianInterval.exists(samples: ratios.count, level: level)
    verdict =
      exists && ratio.low > 1 ? .slower : exists && ratio.high < 1 ? .faster : .undecided
  }

  /// The ratio of variants without a round in common: no numbers.
  public static let none = PairedRatio()

  private init() {
    ratio = MedianInterval(median: .nan, low: .nan, high: .nan)
    (verdict, rounds) = (.undecided, 0)
  }

  /// The level of one of several intervals all of which hold in 95% of cases.
  public static func level(comparisons: Int) -> Double { 1 - 0.05 / Double(max(1, comparisons)) }

  /// The ratio, its interval and the verdict: "1.054 [1.049, 1.061] slower".
  public var text: String {
    ratio.median.isNaN ? "–" : "\(ratio.text(3)) \(verdict.rawValue)"
  }
}
