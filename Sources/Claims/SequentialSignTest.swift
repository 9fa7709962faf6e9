import Foundation

/// A sign test that may be looked at more than once while its pairs become more.
///
/// The k-th look spends α / (k (k + 1)) of α = 5%, half of it on each side, so that all looks together, however
/// many there are, are wrong in at most 5% of cases (Bonferroni; the shares add up to 1).
package struct SequentialSignTest {
  /// Which look it is, from 1.
  let look: Int

  /// Of how many parts of a claim it tests one: any of them fails the claim, so that they share the error on
  /// that side.
  ///
  /// To hold all have to, which needs no such care.
  let parts: Int

  /// The test of one of several parts at a look.
  package init(look: Int, parts: Int = 1) { (self.look, self.parts) = (look, parts) }

  static let error = 0.05

  /// What one side of a look may err in.
  private var share: Double { Self.error / Double(2 * look * (look + 1)) }

  /// Holds if more of the differences are above 0 than chance explains, fails if fewer are, else
  /// undecided.
  ///
  /// A difference of 0 speaks against the claim, as one below does; where all are 0, nothing was seen.
  package func verdict(_ differences: [Double]) -> Verdict {
    guard differences.contains(where: { $0 != 0 }) else { return .undecided }
    let (n, positive) = (differences.count, differences.count { $0 > 0 })
    if Self.tail(n, from: positive, 0.5) <= share { return .holds }
    if Self.tail(n, from: n - positive, 0.5) <= share / Double(parts) { return .fails }
    return .undecided
  }

  /// The least number of `pairs` that has to have one sign for a verdict; nil where not even all suffice.
  package func needed(of pairs: Int) -> Int? {
    (0..<pairs + 1).first { Self.tail(pairs, from: $0, 0.5) <= share }
  }

  /// The smallest effect that a given number of pairs show four times of five, in words.
  func smallestEffect(pairs: Int) -> String {
    guard let needed = needed(of: pairs) else {
      return "\(pairs) pairs are too few for any verdict"
    }
    let probability = stride(from: 0.5, through: 1, by: 0.01).first {
      Self.tail(pairs, from: needed, $0) >= 0.8
    }
    return "\(needed) of \(pairs) pairs have to have one sign; what has it in "
      + "\(Int((100 * (probability ?? 1)).rounded()))% of pairs would be seen four times of five"
  }

  /// P(Binomial(n, p) ≥ k).
  static func tail(_ n: Int, from k: Int, _ p: Double) -> Double {
    if k <= 0 { return 1 }
    if p >= 1 { return k <= n ? 1 : 0 }
    var logarithm = Double(n) * log(1 - p)
    var sum = 0.0
    for i in 0..<n + 1 {
      if i >= k { sum += exp(logarithm) }
      if i < n { logarithm += log(Double(n - i) / Double(i + 1) * p / (1 - p)) }
    }
    return min(1, sum)
  }
}
