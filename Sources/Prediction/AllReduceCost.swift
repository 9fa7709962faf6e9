/// How often an all-reduce pays for a message, for sending a byte, and for adding a byte.
///
///     T(n) = messages · α + n · (transfers · β + additions · γ)
///
/// for n bytes on p ranks, with L = ⌈log₂ p⌉:
///
/// | algorithm | messages | transfers | additions |
/// | --- | --- | --- | --- |
/// | recursive doubling | L | L | L |
/// | recursive halving and doubling | 2L | 2(p−1)/p | (p−1)/p |
/// | ring | 2(p−1) | 2(p−1)/p | (p−1)/p |
/// | reduce and broadcast | 2L | 2L | L |
///
/// Libraries choose by size, roughly as if they took the cheapest of the first three. If p is not a power
/// of two, the first two need up to two more messages, which are left out here.
///
/// - Source: Hockney, 1994, for T = α + nβ of one message; Thakur, Rabenseifner & Gropp, 2005, section
///   4.5, for the algorithms, <https://doi.org/10.1177/1094342005051521>.
public struct AllReduceCost: Hashable, Sendable {
  /// How many messages follow one another.
  public let messages: Double
  /// How often each byte is sent, one after another.
  public let transfers: Double
  /// How often each byte is added, one after another.
  public let additions: Double

  /// The algorithms that a library chooses from on `ranks` ranks, two or more.
  public static func algorithms(ranks: Int) -> [AllReduceCost] {
    precondition(ranks > 1, "an all-reduce over \(ranks) rank(s) costs nothing")
    return [.recursiveDoubling, .recursiveHalving, .ring].map { (algorithm: AllReduceAlgorithm) in
      algorithm.cost(ranks: ranks)
    }
  }

  /// T(n) of this algorithm in microseconds.
  ///
  /// `alpha` is in microseconds; `beta` and `gamma` are in microseconds per byte.
  public func time(bytes: Double, alpha: Double, beta: Double, gamma: Double) -> Double {
    messages * alpha + bytes * (transfers * beta + additions * gamma)
  }

  /// T(n) of the cheapest algorithm, in the units of ``time(bytes:alpha:beta:gamma:)``.
  public static func cheapest(
    ranks: Int, bytes: Double, alpha: Double, beta: Double, gamma: Double
  ) -> Double {
    algorithms(ranks: ranks).map {
      $0.time(bytes: bytes, alpha: alpha, beta: beta, gamma: gamma)
    }.min() ?? 0
  }
}
