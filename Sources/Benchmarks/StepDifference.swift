public import LockstepAnalysis
import LockstepFiles

/// How much longer a step takes under one variant than under another, and which parts cause it.
public struct StepDifference: Codable, Sendable {
  /// One part of the difference.
  public struct Part: Codable, Sendable {
    /// The part's name.
    public let name: String
    /// How much longer the part takes, in milliseconds; negative if it takes less time.
    public let ms: Double
  }

  /// The median of the rounds' differences, each a mean over ranks, in milliseconds, with its interval.
  public let ms: MedianInterval
  /// The parts, as means over ranks and over the middle half of the rounds when sorted by difference.
  public let parts: [Part]
  /// The sum of the parts, in milliseconds.
  public let sumMilliseconds: Double
  /// Whether the sum lies within the interval.
  public let addsUp: Bool

  private enum CodingKeys: String, CodingKey {
    case ms, parts
    case sumMilliseconds = "sum_ms"
    case addsUp = "adds_up"
  }

  /// Finds the difference from the parts of each round; nil if no round has the parts of both variants.
  ///
  /// The interval allows for `comparisons` made at once.
  init?(base: [StepParts?], own: [StepParts?], comparisons: Int) {
    let rounds = zip(base, own).compactMap { base, own in
      base.flatMap { base in own.map { $0.less(base) } }
    }.sorted { $0.stepMilliseconds < $1.stepMilliseconds }
    let middle = Array(rounds.dropFirst(rounds.count / 4).dropLast(rounds.count / 4))
    guard let mean = StepParts(meanOf: middle) else { return nil }
    ms = MedianInterval(
      rounds.map(\.stepMilliseconds), level: PairedRatio.level(comparisons: comparisons))
    parts = mean.named.map { Part(name: $0.name, ms: $0.milliseconds) }
    sumMilliseconds = mean.stepMilliseconds
    addsUp = (ms.low...ms.high).contains(sumMilliseconds)
  }

  /// The parts in words, the largest first, without those that are less than a twentieth of the largest.
  public var text: String {
    let sorted = parts.sorted { abs($0.ms) > abs($1.ms) }
    let least = abs(sorted.first?.ms ?? 0) / 20
    return sorted.filter { abs($0.ms) >= least && $0.ms != 0 }
      .map { "\(signed($0.ms, 2)) \($0.name)" }.joined(separator: ", ")
  }
}
