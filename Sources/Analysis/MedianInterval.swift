import Foundation
import LockstepFiles

/// A median with a 95% confidence interval.
public struct MedianInterval: Codable, Hashable, Sendable {
  /// The median.
  public let median: Double
  /// The interval's lower end.
  public let low: Double
  /// The interval's upper end.
  public let high: Double

  /// Creates an interval from numbers that were computed elsewhere.
  public init(median: Double, low: Double, high: Double) {
    (self.median, self.low, self.high) = (median, low, high)
  }

  /// The median of nothing, which is NaN.
  public static let none = MedianInterval(median: .nan, low: .nan, high: .nan)

  /// The median of `samples`, which must not be empty, with a confidence interval at `level`.
  ///
  /// The interval lies between two order statistics. Whatever the distribution, it holds the true median
  /// in a share of `level` of all cases (the binomial sign interval). With too few samples, fewer than six
  /// at 95%, no such interval exists, and it spans all samples.
  public init(_ samples: [Double], level: Double = 0.95) {
    precondition(!samples.isEmpty, "the median of nothing")
    let sorted = samples.sorted()
    let n = sorted.count
    median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2
    let k = Self.lowerRank(n, level)
    low = sorted[max(k - 1, 0)]
    high = sorted[min(n - k, n - 1)]
  }

  /// Whether `count` samples are enough for an interval at `level`.
  public static func exists(samples: Int, level: Double) -> Bool { lowerRank(samples, level) > 0 }

  /// The largest k with P(Binomial(n, ½) < k) ≤ (1 − level) / 2, so that the interval is from the k-th
  /// smallest to the k-th largest.
  private static func lowerRank(_ n: Int, _ level: Double) -> Int {
    let tail = (1 - level) / 2
    var (k, below) = (0, 0.0)
    // In logarithms, because ½ⁿ is 0 in float64 from n = 1,075 on.
    var logarithm = -Double(n) * log(2)
    while k < n / 2, below + exp(logarithm) <= tail {
      below += exp(logarithm)
      logarithm += log(Double(n - k) / Double(k + 1))
      k += 1
    }
    return k
  }
}

extension MedianInterval {
  /// The same in another unit.
  public func scaled(by factor: Double) -> MedianInterval {
    MedianInterval(median: factor * median, low: factor * low, high: factor * high)
  }

  /// "median [low, high]", with `digits` digits after the point; a dash for ``none``.
  public func text(_ digits: Int) -> String {
    median.isNaN ? "–" : "\(fixed(median, digits)) [\(fixed(low, digits)), \(fixed(high, digits))]"
  }
}
