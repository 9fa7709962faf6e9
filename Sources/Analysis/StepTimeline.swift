import LockstepCollectives
public import LockstepRecording

/// One step on all ranks, with times in microseconds since the first rank's beginning.
public struct StepTimeline: Codable, Sendable {
  /// What a rank computed between two marks, including time in which it was blocked.
  public struct Segment: Codable, Hashable, Sendable {
    /// The layer, or the part of the step outside of layers.
    public let layer: String
    /// "forward" or "backward".
    public let pass: String
    /// When it began.
    public let beginMicroseconds: Double
    /// When it was over.
    public let endMicroseconds: Double

    private enum CodingKeys: String, CodingKey {
      case layer, pass
      case beginMicroseconds = "begin_us"
      case endMicroseconds = "end_us"
    }
  }

  /// A rank's part in a collective.
  public struct Collective: Codable, Hashable, Sendable {
    /// "statistics", "gradients" or "control".
    public let purpose: String
    /// What it was for in a few words.
    public let label: String
    /// This rank's bytes.
    public let bytes: Int
    /// When this rank issued it.
    public let beginMicroseconds: Double
    /// When the issuing call returned.
    public let returnedMicroseconds: Double
    /// When this rank began to wait; later than the end if a test found the collective complete before.
    public let waitMicroseconds: Double
    /// When it was over.
    public let endMicroseconds: Double
    /// When the last rank issued it.
    public let lastArrivalMicroseconds: Double
    /// Which rank that was.
    public let lastRank: Int

    private enum CodingKeys: String, CodingKey {
      case purpose, label, bytes
      case beginMicroseconds = "begin_us"
      case returnedMicroseconds = "returned_us"
      case waitMicroseconds = "wait_us"
      case endMicroseconds = "end_us"
      case lastArrivalMicroseconds = "last_arrival_us"
      case lastRank = "last_rank"
    }
  }

  /// One rank's step.
  public struct Rank: Codable, Sendable {
    /// When it began.
    public let beginMicroseconds: Double
    /// When it was over.
    public let endMicroseconds: Double
    /// What it computed, in order.
    public let segments: [Segment]
    /// What it communicated, in the order of beginnings.
    public let collectives: [Collective]

    private enum CodingKeys: String, CodingKey {
      case segments, collectives
      case beginMicroseconds = "begin_us"
      case endMicroseconds = "end_us"
    }
  }

  /// The step's number.
  public let step: Int
  /// From the first rank's beginning to the last one's end.
  public let durationMicroseconds: Double
  /// The step by rank.
  public let ranks: [Rank]

  private enum CodingKeys: String, CodingKey {
    case step, ranks
    case durationMicroseconds = "duration_us"
  }

  /// The step of `recorded` whose duration on rank 0 is the median; nil if there is no step.
  public init?(median recorded: RecordedSteps) {
    let durations = recorded.parts.map { $0[0].step.end - $0[0].step.issue }
    let order = durations.indices.sorted { durations[$0] < durations[$1] }
    guard !order.isEmpty else { return nil }
    let middle = order[(order.count - 1) / 2]
    let parts = recorded.parts[middle]
    let origin = parts.map(\.step.issue).min() ?? 0
    func time(_ nanoseconds: Double) -> Double { (nanoseconds - origin) / 1e3 }
    step = recorded.numbers[middle]
    durationMicroseconds = parts.map { time($0.step.end) }.max() ?? 0
    ranks = parts.map { part in
      Rank(
        beginMicroseconds: time(part.step.issue), endMicroseconds: time(part.step.end),
        segments: part.entries.filter { $0.kind == .segment }.map {
          Segment(
            layer: $0.purpose.site, pass: "\($0.purpose.pass)", beginMicroseconds: time($0.issue),
            endMicroseconds: time($0.end))
        },
        collectives: part.entries.filter { $0.kind == .collective }.map {
          let last = recorded.lastArrival($0)
          return Collective(
            purpose: $0.purpose.kind, label: $0.purpose.label, bytes: $0.bytes,
            beginMicroseconds: time($0.issue), returnedMicroseconds: time($0.returned),
            waitMicroseconds: time($0.waitBegin),
            endMicroseconds: time($0.end), lastArrivalMicroseconds: time(last.time),
            lastRank: last.rank)
        })
    }
  }
}
