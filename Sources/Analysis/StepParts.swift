import LockstepCollectives
public import LockstepRecording

/// Where the time of a usual step went, in parts that add up to it, in milliseconds.
///
/// Medians of parts do not add up to the median of their sum. So each part is a mean: over the ranks,
/// and over the middle half of the steps by duration, which leaves out those that a hiccup made long.
public struct StepParts: Codable, Hashable, Sendable {
  /// How many steps went in.
  public private(set) var steps = 0
  /// Computing outside of norms and the optimizer.
  public private(set) var compute_ms = 0.0
  /// What norms compute.
  public private(set) var norm_ms = 0.0
  /// Blocked for statistics before the last rank arrived.
  public private(set) var statistics_skew_ms = 0.0
  /// Blocked for statistics after it.
  public private(set) var statistics_transfer_ms = 0.0
  /// The library's own work for statistics: beginning collectives that do not block, and tests that let them
  /// make progress.
  public private(set) var library_ms = 0.0
  /// Blocked for gradient buckets.
  public private(set) var gradients_ms = 0.0
  /// The update of the parameters.
  public private(set) var optimizer_ms = 0.0
  /// Everything else: control traffic, and what was not recorded.
  public private(set) var other_ms = 0.0

  /// A whole step.
  public var step_ms: Double {
    named.reduce(0) { $0 + $1.milliseconds }
  }

  /// The parts with their names in words.
  public var named: [(name: String, milliseconds: Double)] {
    [
      ("computing in other layers", compute_ms), ("computing in norms", norm_ms),
      ("statistics: waiting for the last rank", statistics_skew_ms),
      ("statistics: transfer", statistics_transfer_ms),
      ("MPI's own work for statistics", library_ms),
      ("gradients, blocked", gradients_ms), ("optimizer", optimizer_ms), ("the rest", other_ms),
    ]
  }

  /// The mean of some parts; nil of none.
  public init?(meanOf all: [StepParts]) {
    guard !all.isEmpty else { return nil }
    func mean(_ part: (StepParts) -> Double) -> Double {
      all.reduce(0) { $0 + part($1) } / Double(all.count)
    }
    steps = all.reduce(0) { $0 + $1.steps }
    (compute_ms, norm_ms) = (mean(\.compute_ms), mean(\.norm_ms))
    statistics_skew_ms = mean(\.statistics_skew_ms)
    statistics_transfer_ms = mean(\.statistics_transfer_ms)
    (library_ms, gradients_ms) = (mean(\.library_ms), mean(\.gradients_ms))
    (optimizer_ms, other_ms) = (mean(\.optimizer_ms), mean(\.other_ms))
  }

  /// What `self` has more of than `other`, part by part.
  public func less(_ other: StepParts) -> StepParts {
    var result = self
    result.compute_ms -= other.compute_ms
    result.norm_ms -= other.norm_ms
    result.statistics_skew_ms -= other.statistics_skew_ms
    result.statistics_transfer_ms -= other.statistics_transfer_ms
    result.library_ms -= other.library_ms
    result.gradients_ms -= other.gradients_ms
    result.optimizer_ms -= other.optimizer_ms
    result.other_ms -= other.other_ms
    return result
  }

  /// The parts of the middle half of `recorded` steps by duration, or nil where there are none.
  public init?(_ recorded: RecordedSteps) {
    let durations = recorded.parts.map { parts in
      parts.reduce(0) { $0 + $1.step.end - $1.step.issue }
    }
    let order = durations.indices.sorted { durations[$0] < durations[$1] }
    let middle = order.dropFirst(order.count / 4).dropLast(order.count / 4)
    self.init(recorded, steps: Array(middle))
  }

  /// The parts of the steps in a given number of places of `recorded`, or nil where there are none.
  public init?(_ recorded: RecordedSteps, steps: [Int]) {
    guard let ranks = recorded.parts.first?.count, !steps.isEmpty else { return nil }
    for step in steps {
      for part in recorded.parts[step] {
        add(part, recorded, weight: 1e-6 / Double(ranks * steps.count))
      }
    }
    self.steps = steps.count
  }

  private static let optimizer = EventName(StepPart.optimizer)

  private mutating func add(
    _ part: RecordedSteps.Part, _ recorded: RecordedSteps, weight: Double
  ) {
    var blocked = BlockedTime(part.entries)
    var rest = part.step.end - part.step.issue
    for entry in part.entries {
      switch entry.kind {
      case .step: break
      case .segment:
        let computing = entry.end - entry.issue - blocked.within(entry.issue, entry.end)
        rest -= computing
        switch entry.purpose {
        case .computing(_, _, isNorm: true): norm_ms += computing * weight
        case .computing(Self.optimizer, _, _): optimizer_ms += computing * weight
        default: compute_ms += computing * weight
        }
      case .collective:
        // Tests that let it make progress lie within segments.
        compute_ms -= entry.tested * weight
        rest += entry.tested
        let split = CollectiveSplit(entry, lastArrival: recorded.lastArrival(entry).time)
        switch entry.purpose {
        case .statistics:
          // The call that begins a collective and comes back is work, not a wait.
          let call = entry.isBlocking ? 0 : entry.returned - entry.issue
          let early = entry.isBlocking ? 0 : split.skewOfCall
          statistics_skew_ms += (split.exposedSkew - early) * weight
          statistics_transfer_ms += (split.exposedTransfer - (call - early)) * weight
          library_ms += (call + split.tested) * weight
          rest -= split.exposed
        case .gradients:
          gradients_ms += split.exposed * weight
          rest -= split.exposed
        case .control, .computing: break
        }
      }
    }
    other_ms += rest * weight
  }
}
