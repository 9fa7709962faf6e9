import Foundation
import LockstepAnalysis
import LockstepConfiguration

extension Laboratory {
  /// Applies `body` to every run under each of the seeds; all of these are shared out over the ranks.
  ///
  /// Collective. The results are ordered by run and then by seed, so that those of two runs form pairs.
  func map<Result: Codable & Sendable>(
    _ runs: [RunConfiguration], seeds: Range<UInt64>,
    _ body: @escaping @Sendable (RunConfiguration) throws -> Result
  ) throws -> [[Result]] {
    let results = try map(
      runs.flatMap { run in
        seeds.map { seed in
          var copy = run
          copy.seed = seed
          return copy
        }
      }, body)
    return runs.indices.map { Array(results[$0 * seeds.count..<($0 + 1) * seeds.count]) }
  }
}

/// The median of `samples`.
func median(_ samples: [Double]) -> Double { MedianInterval(samples).median }

/// `a` minus `b`, pair by pair; 0 if both are infinite, as are the losses of two diverged runs.
func differences(_ a: [Double], _ b: [Double]) -> [Double] {
  zip(a, b).map { $0 == $1 ? 0 : $0 - $1 }
}

/// A number as text, with three digits.
func threeDigits(_ value: Double) -> String {
  // C's format would give NaN a sign.
  value.isNaN ? "nan" : String(format: "%.3g", value)
}
