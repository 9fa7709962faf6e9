public import LockstepCollectives

/// What one rank recorded of a run, with times in nanoseconds on rank 0's clock.
public struct RankRecord: Sendable {
  /// One event.
  public struct Entry: Hashable, Sendable {
    /// What happened.
    public let kind: Event.Kind
    /// The purpose; for a segment, its layer and pass.
    public let purpose: Purpose
    /// The same key for all ranks' parts of one collective; for a step, it holds the step's number.
    public let key: Key
    /// The elements that this rank gave; for a step, bits that say what disturbed it on this rank.
    public let elements: Int
    /// The bytes of the elements that this rank gave.
    public let bytes: Int
    /// When the collective was issued, or when the segment or step began.
    public let issue: Double
    /// When the issuing call returned.
    public let returned: Double
    /// When this rank began to wait.
    public let waitBegin: Double
    /// When it was over.
    public let end: Double
    /// How long this rank was in tests that let the collective make progress.
    public let tested: Double

    /// What disturbed a step on this rank.
    public var disturbance: StepDisturbance.Causes {
      kind == .step ? StepDisturbance.Causes(rawValue: UInt8(truncatingIfNeeded: elements)) : []
    }

    /// Whether the issuing call returned only at the end.
    public var isBlocking: Bool { returned >= end }
  }

  /// Identifies a collective by its communicator, the first rank of its group, and its number.
  public struct Key: Hashable, Sendable {
    /// The communicator, numbered in the order in which the rank's communicators began to record.
    public let communicator: Int
    /// The first rank of the communicator's group.
    public let group: Int
    /// The collective's number on its communicator, from 1.
    public let number: Int
  }

  /// The events, in the order in which they were recorded.
  public let entries: [Entry]
  /// The largest possible error of a time.
  public let clockBound: Double

  /// Creates a record from a rank's `events`.
  ///
  /// `groups` has the first rank of each of the rank's communicators.
  public init(_ events: [Event], clock: ClockOffset, groups: [Int]) {
    entries = events.map { event in
      let communicator = Int(event.communicator)
      return Entry(
        kind: event.kind, purpose: event.purpose,
        key: Key(
          communicator: communicator,
          group: groups.indices.contains(communicator) ? groups[communicator] : 0,
          number: Int(event.number)), elements: Int(event.elements), bytes: Int(event.bytes),
        issue: clock.common(event.issue), returned: clock.common(event.returned),
        waitBegin: clock.common(event.waitBegin), end: clock.common(event.end),
        tested: Double(event.tested))
    }
    clockBound = clock.bound
  }
}

extension RankRecord {
  /// The record without the steps whose numbers are not in `wanted`, and without their events.
  func keeping(_ wanted: Set<Int>) -> RankRecord {
    let left = entries.filter { $0.kind == .step && !wanted.contains($0.key.number) }
      .sorted { $0.issue < $1.issue }
    return RankRecord(
      entries: entries.filter { entry in
        if entry.kind == .step { return wanted.contains(entry.key.number) }
        // Finds the last left-out step that began before this entry.
        var (low, high) = (0, left.count)
        while low < high {
          let middle = (low + high) / 2
          if left[middle].issue <= entry.issue { low = middle + 1 } else { high = middle }
        }
        return low == 0 || left[low - 1].end < entry.issue
      }, clockBound: clockBound)
  }

  private init(entries: [Entry], clockBound: Double) {
    (self.entries, self.clockBound) = (entries, clockBound)
  }
}

extension [RankRecord] {
  /// What disturbed the steps on any rank, by the step's number.
  public var disturbances: [Int: StepDisturbance] {
    var all: [Int: StepDisturbance] = [:]
    for (rank, record) in enumerated() {
      for entry in record.entries where entry.kind == .step && !entry.disturbance.isEmpty {
        all[entry.key.number] =
          (all[entry.key.number] ?? .none).union(StepDisturbance(entry.disturbance, rank: rank))
      }
    }
    return all
  }

  /// Whether statistics were taken over groups of ranks rather than over all ranks.
  package var hasStatisticsGroups: Bool {
    Set(
      flatMap { record in
        record.entries.compactMap { entry -> Int? in
          guard entry.kind == .collective, case .statistics = entry.purpose else { return nil }
          return entry.key.group
        }
      }
    ).count > 1
  }

  /// The records of only the steps in `wanted`.
  public func keeping(_ wanted: Set<Int>) -> [RankRecord] { map { $0.keeping(wanted) } }

  /// The records without the steps that were disturbed on any rank; unchanged if every step was.
  public var undisturbed: [RankRecord] {
    let disturbed = Set(disturbances.keys)
    guard !disturbed.isEmpty else { return self }
    let all = Set(flatMap { $0.entries.filter { $0.kind == .step }.map(\.key.number) })
    let clean = all.subtracting(disturbed)
    return clean.isEmpty ? self : keeping(clean)
  }

  /// How much later than the other ranks' mean a rank reached the collectives for `purpose` in each step.
  ///
  /// The times are in nanoseconds, and summed if a step has several such collectives.
  public func lateness(of rank: Int, at purpose: Purpose) -> [Double] {
    let steps = self[rank].entries.filter { $0.kind == .step }
    let arrivals = map { record in
      Dictionary(
        record.entries.filter { $0.kind == .collective && $0.purpose == purpose }.map {
          ($0.key, $0.issue)
        }, uniquingKeysWith: { first, _ in first })
    }
    return steps.map { step in
      arrivals[rank].reduce(0) { sum, arrival in
        guard arrival.value >= step.issue, arrival.value < step.end else { return sum }
        let others = indices.filter { $0 != rank }.compactMap { arrivals[$0][arrival.key] }
        guard !others.isEmpty else { return sum }
        return sum + arrival.value - others.reduce(0, +) / Double(others.count)
      }
    }
  }
}

extension RankRecord {
  /// Gathers every rank's record on every rank.
  ///
  /// Collective.
  public static func gather(
    _ events: [Event], clock: ClockOffset, groups: [Int], over communicator: any Communicator
  ) throws(CommunicationError) -> [RankRecord] {
    let names = EventName.texts.map { Array($0.utf8) }
    let fields = try communicator.allGather(events.flatMap(\.fields))
    let bytes = try communicator.allGather(Array(names.joined(separator: [10])))
    let clocks = try communicator.allGather(clock.fields)
    let allGroups = try communicator.allGather(groups.map(Int64.init))
    return fields.indices.map { rank in
      let texts = String(decoding: bytes[rank], as: UTF8.self)
        .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      let count = Event.fieldCount
      return RankRecord(
        stride(from: 0, to: fields[rank].count, by: count).map {
          Event(fields[rank][$0..<$0 + count], texts: texts)
        }, clock: ClockOffset(clocks[rank]), groups: allGroups[rank].map { Int($0) })
    }
  }
}
