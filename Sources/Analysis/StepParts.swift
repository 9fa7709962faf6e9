import LockstepCollectives
public import LockstepRecording

/// Where the time of a typical step went, as parts in milliseconds that add up to the step.
///
/// Medians of parts do not add up to the median of their sum. So each part is a mean over the ranks and
/// over the middle half of the steps by duration. The middle half leaves out steps that a hiccup made
/// long.
public struct StepParts: Codable, Hashable, Sendable {
  /// How many steps the means are taken from.
  public private(set) var steps = 0
  /// Computing outside of norms and the optimizer.
  public private(set) var computeMilliseconds = 0.0
  /// Computing in norms.
  public private(set) var normMilliseconds = 0.0
  /// Blocked for statistics before the last rank arrived.
  public private(set) var statisticsSkewMilliseconds = 0.0
  /// Blocked for statistics after the last rank arrived.
  public private(set) var statisticsTransferMilliseconds = 0.0
  /// MPI's own work for statistics: starting nonblocking collectives, and testing them so that they make
  /// progress.
  public private(set) var libraryMilliseconds = 0.0
  /// Blocked for gradient buckets.
  public private(set) var gradientsMilliseconds = 0.0
  /// The update of the parameters.
  public private(set) var optimizerMilliseconds = 0.0
  /// Everything else: control traffic, and what was not recorded.
  public private(set) var otherMilliseconds = 0.0

  private enum CodingKeys: String, CodingKey {
    case steps
    case computeMilliseconds = "compute_ms"
    case normMilliseconds = "norm_ms"
    case statisticsSkewMilliseconds = "statistics_skew_ms"
    case statisticsTransferMilliseconds = "statistics_transfer_ms"
    case libraryMilliseconds = "library_ms"
    case gradientsMilliseconds = "gradients_ms"
    case optimizerMilliseconds = "optimizer_ms"
    case otherMilliseconds = "other_ms"
  }

  /// A whole step.
  public var stepMilliseconds: Double {
    named.reduce(0) { $0 + $1.milliseconds }
  }

  /// The parts with their names in words.
  public var named: [(name: String, milliseconds: Double)] {
    [
      ("computing in other layers", computeMilliseconds), ("computing in norms", normMilliseconds),
      ("statistics: waiting for the last rank", statisticsSkewMilliseconds),
      ("statistics: transfer", statisticsTransferMilliseconds),
      ("MPI's own work for statistics", libraryMilliseconds),
      ("gradients, blocked", gradientsMilliseconds), ("optimizer", optimizerMilliseconds),
      ("the rest", otherMilliseconds),
    ]
  }

  /// The mean of several steps' parts; nil if `all` is empty.
  public init?(meanOf all: [StepParts]) {
    guard !all.isEmpty else { return nil }
    func mean(_ part: (StepParts) -> Double) -> Double {
      all.reduce(0) { $0 + part($1) } / Double(all.count)
    }
    steps = all.reduce(0) { $0 + $1.steps }
    (computeMilliseconds, normMilliseconds) = (
      mean(\.computeMilliseconds), mean(\.normMilliseconds)
    )
    statisticsSkewMilliseconds = mean(\.statisticsSkewMilliseconds)
    statisticsTransferMilliseconds = mean(\.statisticsTransferMilliseconds)
    (libraryMilliseconds, gradientsMilliseconds) = (
      mean(\.libraryMilliseconds), mean(\.gradientsMilliseconds)
    )
    (optimizerMilliseconds, otherMilliseconds) = (
      mean(\.optimizerMilliseconds), mean(\.otherMilliseconds)
    )
  }

  /// `self` minus `other`, part by part.
  public func less(_ other: StepParts) -> StepParts {
    var result = self
    result.computeMilliseconds -= other.computeMilliseconds
    result.normMilliseconds -= other.normMilliseconds
    result.statisticsSkewMilliseconds -= other.statisticsSkewMilliseconds
    result.statisticsTransferMilliseconds -= other.statisticsTransferMilliseconds
    result.libraryMilliseconds -= other.libraryMilliseconds
    result.gradientsMilliseconds -= other.gradientsMilliseconds
    result.optimizerMilliseconds -= other.optimizerMilliseconds
    result.otherMilliseconds -= other.otherMilliseconds
    return result
  }

  /// The parts of the middle half of `recorded` steps by duration; nil if there are none.
  public init?(_ recorded: RecordedSteps) {
    let durations = recorded.parts.map { parts in
      parts.reduce(0) { $0 + $1.step.end - $1.step.issue }
    }
    let order = durations.indices.sorted { durations[$0] < durations[$1] }
    let middle = order.dropFirst(order.count / 4).dropLast(order.count / 4)
    self.init(recorded, steps: Array(middle))
  }

  /// The parts of the steps at the indices `steps` of `recorded`; nil if there are none.
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
        case .computing(_, _, isNorm: true): normMilliseconds += computing * weight
        case .computing(Self.optimizer, _, _): optimizerMilliseconds += computing * weight
        default: computeMilliseconds += computing * weight
        }
      case .collective:
        // Tests of the collective lie within segments.
        computeMilliseconds -= entry.tested * weight
        rest += entry.tested
        let split = CollectiveSplit(entry, lastArrival: recorded.lastArrival(entry).time)
        switch entry.purpose {
        case .statistics:
          // The call that starts a nonblocking collective is work, not a wait.
          let call = entry.isBlocking ? 0 : entry.returned - entry.issue
          let early = entry.isBlocking ? 0 : split.skewOfCall
          statisticsSkewMilliseconds += (split.exposedSkew - early) * weight
          statisticsTransferMilliseconds += (split.exposedTransfer - (call - early)) * weight
          libraryMilliseconds += (call + split.tested) * weight
          rest -= split.exposed
        case .gradients:
          gradientsMilliseconds += split.exposed * weight
          rest -= split.exposed
        case .control, .computing: break
        }
      }
    }
    otherMilliseconds += rest * weight
  }
}
