import Foundation
import LockstepAnalysis
import LockstepConfiguration

extension Laboratory {
  /// Applies `body` to every run under each of the seeds, all of them shared out over the ranks.
  ///
  /// Collective. The results come by run, then by seed, so that those of two runs pair up.
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

/// `a` less `b`, pair by pair; 0 where both are infinite, as are the losses of two diverged runs.
func differences(_ a: [Double], _ b: [Double]) -> [Double] {
  zip(a, b).map { $0 == $1 ? 0 : $0 - $1 }
}

/// A number in words, with three digits.
func threeDigits(_ value: Double) -> String {
  // C would give it a sign.
  value.isNaN ? "nan" : String(format: "%.3g", value)
}
