/// α and β of a network, fitted to measured all-reduces.
///
/// The model is the cheapest of the algorithms of ``AllReduceCost``, with a known γ. It is fitted to
/// several sizes over one number of ranks. The candidates are all pairs (α, β), both above 0, for which
/// the model goes through two of the points. The best candidate has the least
///
///     Σ |1 − T(n) / measured|
///
/// Errors are relative, because times span five orders of magnitude and each size says as much as
/// another. They are not squared, because one size that used another protocol, or met a slow minute,
/// must not turn the line as it would in least squares.
///
/// - Source: Hockney, 1994, for the model; Bloomfield & Steiger, 1983, for least absolute deviations:
///   one of the solutions always goes through as many points as there are unknowns.
public struct FabricFit: Hashable, Sendable {
  /// One measured all-reduce.
  public struct Sample: Hashable, Sendable {
    /// The bytes that each rank gave.
    public let bytes: Double
    /// How long it took, in microseconds.
    public let microseconds: Double

    /// Creates a sample.
    public init(bytes: Double, microseconds: Double) {
      (self.bytes, self.microseconds) = (bytes, microseconds)
    }
  }

  /// The time of one message, in microseconds.
  public let alpha: Double
  /// The time to send a byte, in microseconds.
  public let beta: Double
  /// The mean of |1 − T(n) / measured| over the points.
  public let meanError: Double

  /// Fits all-reduces over `ranks` ranks; nil if no two points have times that grow with their sizes.
  ///
  /// Adding a byte takes `gamma` microseconds.
  public init?(_ samples: [Sample], ranks: Int, gamma: Double) {
    let algorithms = AllReduceCost.algorithms(ranks: ranks)
    var best: FabricFit?
    for (i, a) in samples.enumerated() {
      for b in samples[..<i] {
        for first in algorithms {
          for second in algorithms {
            guard let (alpha, beta) = Self.line(a, first, b, second, gamma: gamma) else { continue }
            func error(_ sample: Sample) -> Double {
              let time = AllReduceCost.cheapest(
                ranks: ranks, bytes: sample.bytes, alpha: alpha, beta: beta, gamma: gamma)
              return abs(1 - time / sample.microseconds)
            }
            // If another algorithm is cheaper at one of the two points, the model misses that point. The
            // limit leaves room for rounding alone.
            guard max(error(a), error(b)) < 1e-9 else { continue }
            let errors = samples.map(error)
            let mean = errors.reduce(0, +) / Double(errors.count)
            if mean < best?.meanError ?? .infinity {
              best = FabricFit(alpha: alpha, beta: beta, meanError: mean)
            }
          }
        }
      }
    }
    guard let best else { return nil }
    self = best
  }

  private init(alpha: Double, beta: Double, meanError: Double) {
    (self.alpha, self.beta, self.meanError) = (alpha, beta, meanError)
  }

  /// The α and β with which two algorithms take exactly the times of two samples.
  private static func line(
    _ a: Sample, _ first: AllReduceCost, _ b: Sample, _ second: AllReduceCost, gamma: Double
  ) -> (alpha: Double, beta: Double)? {
    let (x, y) = (first.transfers * a.bytes, second.transfers * b.bytes)
    let s = a.microseconds - first.additions * a.bytes * gamma
    let t = b.microseconds - second.additions * b.bytes * gamma
    let determinant = first.messages * y - second.messages * x
    guard determinant != 0 else { return nil }
    let alpha = (s * y - t * x) / determinant
    let beta = (first.messages * t - second.messages * s) / determinant
    return alpha > 0 && beta > 0 ? (alpha, beta) : nil
  }
}
