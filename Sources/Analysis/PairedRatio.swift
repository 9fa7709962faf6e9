/// What a ratio of step times says.
public enum RatioVerdict: String, Codable, Sendable {
  /// The whole interval lies above 1.
  case slower
  /// The whole interval lies below 1.
  case faster
  /// Neither, or too few rounds for an interval.
  case undecided
}

/// One variant's time divided by that of a base variant, from rounds in which both took a turn.
public struct PairedRatio: Codable, Hashable, Sendable {
  /// The median of the rounds' ratios with a distribution-free interval.
  ///
  /// The level is 95% for all comparisons together that were made at once (Bonferroni).
  public let ratio: MedianInterval
  /// What the interval says.
  public let verdict: RatioVerdict
  /// How many rounds the ratio is taken from.
  public let rounds: Int

  /// Summarizes the ratios of at least one round, as one of several comparisons.
  ///
  /// If the ratios are not `trusted`, nothing is decided.
  public init(_ ratios: [Double], comparisons: Int, trusted: Bool = true) {
    let level = Self.level(comparisons: comparisons)
    ratio = MedianInterval(ratios, level: level)
    rounds = trusted ? ratios.count : 0
    let exists = trusted && MedianInterval.exists(samples: ratios.count, level: level)
    verdict =
      exists && ratio.low > 1 ? .slower : exists && ratio.high < 1 ? .faster : .undecided
  }

  /// The ratio of variants without a round in common, whose numbers are NaN.
  public static let none = PairedRatio()

  private init() {
    ratio = .none
    (verdict, rounds) = (.undecided, 0)
  }

  /// The level of each of several intervals, so that all of them hold together in 95% of cases.
  public static func level(comparisons: Int) -> Double { 1 - 0.05 / Double(max(1, comparisons)) }

  /// Why none of several ratios decides anything; nil where one may, or there is none.
  public static func doubt(_ ratios: [PairedRatio], comparisons: Int) -> String? {
    guard let most = ratios.filter({ !$0.ratio.median.isNaN }).map(\.rounds).max() else {
      return nil
    }
    if most == 0 {
      return
        "the ratios are of disturbed steps, since no round of both was undisturbed, so nothing is decided; run "
        + "it again on a quieter machine (`lockstep doctor` names what runs)"
    }
    guard !MedianInterval.exists(samples: most, level: level(comparisons: comparisons)) else {
      return nil
    }
    return
      "\(most) undisturbed round(s) are too few for an interval, so nothing is decided; take more steps, or run "
      + "it again on a quieter machine"
  }

  /// The ratio, its interval and the verdict: "1.054 [1.049, 1.061] slower".
  public var text: String {
    ratio.median.isNaN ? "–" : "\(ratio.text(3)) \(verdict.rawValue)"
  }
}
