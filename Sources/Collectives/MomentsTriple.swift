public import LockstepTensors

/// The count, the mean and the sum of squared deviations of some samples of one channel.
///
/// Two triples merge into the triple of all samples of both:
///
///     n = n₁ + n₂,  δ = m₂ − m₁
///     m = (n₁ · m₁ + n₂ · m₂) / n
///     M = M₁ + M₂ + δ² · n₁ · n₂ / n
///
/// in a form that is symmetric in its operands: a reduction may swap them on some ranks, and all ranks
/// have to hold the same bits.
///
/// - Source: Chan, Golub & LeVeque, 1979, equations 2.1.
public struct MomentsTriple: BitwiseCopyable, Hashable, Sendable {
  /// How many samples.
  public var count: Double
  /// Their mean.
  public var mean: Double
  /// The sum of their squared deviations from it.
  public var squares: Double

  /// A triple of its parts.
  public init(count: Double, mean: Double, squares: Double) {
    (self.count, self.mean, self.squares) = (count, mean, squares)
  }

  /// How many float64 a triple is sent as.
  public static let width = 3

  /// The triple of the samples of both.
  public func merged(with other: MomentsTriple) -> MomentsTriple {
    let n = count + other.count
    guard n > 0 else { return MomentsTriple(count: 0, mean: 0, squares: 0) }
    let delta = other.mean - mean
    return MomentsTriple(
      count: n, mean: (count * mean + other.count * other.mean) / n,
      squares: squares + other.squares + delta * delta * (count * other.count / n))
  }
}

extension Storage<Double> {
  /// The triple at `index`, where triples lie one after another.
  public func triple(at index: Int) -> MomentsTriple {
    let i = MomentsTriple.width * index
    return MomentsTriple(count: self[i], mean: self[i + 1], squares: self[i + 2])
  }

  /// Puts a triple at `index`.
  public func write(_ triple: MomentsTriple, at index: Int) {
    let i = MomentsTriple.width * index
    (self[i], self[i + 1], self[i + 2]) = (triple.count, triple.mean, triple.squares)
  }
}
