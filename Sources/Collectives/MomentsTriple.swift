public import LockstepTensors

/// The count, the mean and the sum of squared deviations of some samples of one channel.
///
/// Two triples merge into the triple of all samples of both:
///
///     n = n₁ + n₂,  δ = m₂ − m₁
///     m = (n₁ · m₁ + n₂ · m₂) / n
///     M = M₁ + M₂ + δ² · n₁ · n₂ / n
///
/// This form is symmetric in its operands. A reduction may swap them on some ranks, and still all ranks
/// have to get the same bits.
///
/// - Source: Chan, Golub & LeVeque, 1979, equations 2.1.
public struct MomentsTriple: BitwiseCopyable, Hashable, Sendable {
  /// The number of samples.
  public var count: Double
  /// The mean of the samples.
  public var mean: Double
  /// The sum of the samples' squared deviations from their mean.
  public var squares: Double

  /// Creates a triple from its parts.
  public init(count: Double, mean: Double, squares: Double) {
    (self.count, self.mean, self.squares) = (count, mean, squares)
  }

  /// The number of float64 values in which a triple is sent.
  public static let width = 3

  /// The triple of all samples of both triples.
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
  /// The triple at `index` among triples stored one after another.
  public func triple(at index: Int) -> MomentsTriple {
    let i = MomentsTriple.width * index
    return MomentsTriple(count: self[i], mean: self[i + 1], squares: self[i + 2])
  }

  /// Stores a triple at `index`.
  public func write(_ triple: MomentsTriple, at index: Int) {
    let i = MomentsTriple.width * index
    (self[i], self[i + 1], self[i + 2]) = (triple.count, triple.mean, triple.squares)
  }
}
