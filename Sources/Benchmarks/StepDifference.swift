public import LockstepAnalysis
import LockstepFiles

/// What a step takes longer under one variant than under another, and what that consists of.
public struct StepDifference: Codable, Sendable {
  /// A part.
  public struct Part: Codable, Sendable {
    /// What it is.
    public let name: String
    /// How much more of it there is, in milliseconds; negative where there is less.
    public let ms: Double
  }

  /// The median of the rounds' differences in milliseconds, the mean over ranks, with its interval.
  public let ms: MedianInterval
  /// The parts, means over ranks and over the middle half of the rounds by difference.
  public let parts: [Part]
  /// Their sum, in milliseconds.
  public let sumMilliseconds: Double
  /// Whether the sum lies within the interval.
  public let addsUp: Bool

  private enum CodingKeys: String, CodingKey {
    case ms, parts
    case sumMilliseconds = "sum_ms"
    case addsUp = "adds_up"
  }

  /// The difference by the parts of each round, as one of several comparisons; nil where there is no round with
  /// both.
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

  /// The parts in words, the largest first; those that are less than a twentieth of the largest are left out.
  public var text: String {
    let sorted = parts.sorted { abs($0.ms) > abs($1.ms) }
    let least = abs(sorted.first?.ms ?? 0) / 20
    return sorted.filter { abs($0.ms) >= least && $0.ms != 0 }
      .map { "\(signed($0.ms, 2)) \($0.name)" }.joined(separator: ", ")
  }
}
