import LockstepCollectives
import LockstepRecording

/// When a rank was blocked in collectives, for questions in the order of time.
struct BlockedTime {
  private let intervals: [(begin: Double, end: Double)]
  private var next = 0

  init(_ entries: [RankRecord.Entry]) {
    intervals = entries.filter { $0.kind == .collective }.flatMap {
      [(begin: $0.issue, end: $0.returned), (begin: $0.waitBegin, end: $0.end)]
    }.sorted { $0.begin < $1.begin }
  }

  /// How long the rank was blocked from `begin` to `end`.
  ///
  /// Later calls must not ask about earlier times.
  mutating func within(_ begin: Double, _ end: Double) -> Double {
    while next < intervals.count, intervals[next].end <= begin { next += 1 }
    var sum = 0.0
    for interval in intervals[next...].prefix(while: { $0.begin < end }) {
      sum += max(0, min(interval.end, end) - max(interval.begin, begin))
    }
    return sum
  }
}
