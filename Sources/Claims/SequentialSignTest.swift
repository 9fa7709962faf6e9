import Foundation

/// A sign test whose result may be looked at more than once while pairs are added.
///
/// The k-th look spends α / (k (k + 1)) of α = 5%, half of it on each side. All looks together, however many
/// there are, are then wrong in at most 5% of cases (Bonferroni; the shares add up to 1).
package struct SequentialSignTest {
  /// The number of the look, from 1.
  let look: Int

  /// The number of parts of the claim, of which this tests one.
  ///
  /// One part that fails makes the claim fail, so the parts share that side's error. The claim holds only
  /// if all parts hold, which needs no such correction.
  let parts: Int

  /// Creates the test of one of several parts at a look.
  package init(look: Int, parts: Int = 1) { (self.look, self.parts) = (look, parts) }

  static let error = 0.05

  /// The probability of error that one side of a look may spend.
  private var share: Double { Self.error / Double(2 * look * (look + 1)) }

  /// Holds if more of the differences are above 0 than chance explains, fails if fewer are, else
  /// undecided.
  ///
  /// A difference of 0 counts against the claim, like a negative one. If all are 0, nothing was seen.
  package func verdict(_ differences: [Double]) -> Verdict {
    guard differences.contains(where: { $0 != 0 }) else { return .undecided }
    let (n, positive) = (differences.count, differences.count { $0 > 0 })
    if Self.tail(n, from: positive, 0.5) <= share { return .holds }
    if Self.tail(n, from: n - positive, 0.5) <= share / Double(parts) { return .fails }
    return .undecided
  }

  /// How many of `pairs` pairs have to have the same sign for a verdict; nil if not even all suffice.
  package func needed(of pairs: Int) -> Int? {
    (0..<pairs + 1).first { Self.tail(pairs, from: $0, 0.5) <= share }
  }

  /// The smallest effect that a given number of pairs would show four times out of five, in words.
  func smallestEffect(pairs: Int) -> String {
    guard let needed = needed(of: pairs) else {
      return "\(pairs) pairs are too few for any verdict"
    }
    let probability = stride(from: 0.5, through: 1, by: 0.01).first {
      Self.tail(pairs, from: needed, $0) >= 0.8
    }
    return "\(needed) of \(pairs) pairs have to have the same sign; an effect that has it in "
      + "\(Int((100 * (probability ?? 1)).rounded()))% of pairs would be seen four times out of five"
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
