/// A median with a 95% confidence interval.
public struct MedianInterval: Codable, Hashable, Sendable {
  /// The median.
  public let median: Double
  /// The interval's lower end.
  public let low: Double
  /// The interval's upper end.
  public let high: Double

  /// An interval that follows from others.
  public init(median: Double, low: Double, high: Double) {
    (self.median, self.low, self.high) = (median, low, high)
  }

  /// The median of `samples`, which must not be empty, with the interval between two order
  /// statistics that holds the true median in 95% of cases whatever the distribution (the binomial
  /// sign interval).
  ///
  /// Below six samples no such interval exists: it spans them all.
  public init(_ samples: [Double]) {
    precondition(!samples.isEmpty, "the median of nothing")
    let sorted = samples.sorted()
    let n = sorted.count
    median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2
    let k = Self.lowerRank(n)
    low = sorted[max(k - 1, 0)]
    high = sorted[min(n - k, n - 1)]
  }

  /// The largest k with P(Binomial(n, ½) < k) ≤ 2.5%, so that the interval is from the k-th
  /// smallest to the k-th largest; by the normal approximation from 1,000 samples on.
  private static func lowerRank(_ n: Int) -> Int {
    guard n < 1000 else {
      return Int((Double(n) / 2 - 0.98 * Double(n).squareRoot()).rounded(.down))
    }
    var (k, below) = (0, 0.0)
    var probability = (0..<n).reduce(1.0) { result, _ in result / 2 }
    while k < n / 2, below + probability <= 0.025 {
      below += probability
      probability *= Double(n - k) / Double(k + 1)
      k += 1
    }
    return k
  }
}
