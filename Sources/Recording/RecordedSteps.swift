import LockstepCollectives

/// Recorded steps, each as it went on all ranks.
public struct RecordedSteps: Sendable {
  /// One rank's part of one step.
  public struct Part: Sendable {
    /// The step.
    public let step: RankRecord.Entry
    /// The events that began in the step, in the order of their beginnings.
    ///
    /// Of two events that began at the same time, the longer one comes first.
    public let entries: [RankRecord.Entry]
    /// The events that began between the previous step and this one, such as evaluations and checks.
    public let before: [RankRecord.Entry]
  }

  /// When the last rank reached a collective, and which rank that was.
  public struct Arrival: Hashable, Sendable {
    /// The time.
    public let time: Double
    /// The rank.
    public let rank: Int
  }

  /// The numbers of the steps that all ranks recorded, in ascending order.
  public let numbers: [Int]
  /// For each of ``numbers``, the parts of all ranks in rank order.
  public let parts: [[Part]]
  private let arrivals: [RankRecord.Key: Arrival]

  /// The last `count` of the steps that all of `records` hold.
  public init(_ records: [RankRecord], last count: Int = .max) {
    let all = records.map { Set($0.entries.filter { $0.kind == .step }.map(\.key.number)) }
    let common = all.dropFirst().reduce(all.first ?? []) { $0.intersection($1) }
    let numbers = Array(common.sorted().suffix(count))
    let byRank = records.map { Self.parts($0, of: numbers) }
    self.numbers = numbers
    parts = numbers.indices.map { step in byRank.map { $0[step] } }
    var arrivals: [RankRecord.Key: Arrival] = [:]
    for (rank, record) in records.enumerated() {
      for entry in record.entries where entry.kind == .collective {
        if let known = arrivals[entry.key], known.time >= entry.issue { continue }
        arrivals[entry.key] = Arrival(time: entry.issue, rank: rank)
      }
    }
    self.arrivals = arrivals
  }

  /// The last rank's arrival at the collective of which `entry` is one rank's part.
  public func lastArrival(_ entry: RankRecord.Entry) -> Arrival {
    arrivals[entry.key] ?? Arrival(time: entry.issue, rank: 0)
  }

  /// One rank's parts of the steps with these numbers.
  private static func parts(_ record: RankRecord, of numbers: [Int]) -> [Part] {
    let wanted = Set(numbers)
    let steps = record.entries.filter { $0.kind == .step && wanted.contains($0.key.number) }
      .sorted { $0.issue < $1.issue }
    let others = record.entries.filter { $0.kind != .step }.sorted {
      ($0.issue, -$0.end) < ($1.issue, -$1.end)
    }
    var next = others.firstIndex { $0.issue >= steps.first?.issue ?? 0 } ?? others.endIndex
    func take(until time: Double) -> [RankRecord.Entry] {
      let first = next
      while next < others.endIndex, others[next].issue < time { next += 1 }
      return Array(others[first..<next])
    }
    return steps.map { step in
      let before = take(until: step.issue)
      return Part(step: step, entries: take(until: step.end), before: before)
    }
  }
}
