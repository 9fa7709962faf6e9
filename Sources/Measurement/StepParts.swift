import Collectives

/// Where the time of a usual step went, in parts that add up to it, in milliseconds.
///
/// Medians of parts do not add up to the median of their sum. So each part is a mean: over the ranks,
/// and over the middle half of the steps by duration, which leaves out those that a hiccup made long.
public struct StepParts: Codable, Hashable, Sendable {
  /// What a layer is to the parts.
  public enum Kind: Hashable, Sendable {
    /// A norm.
    case norm
    /// The optimizer.
    case optimizer
    /// Anything else.
    case other
  }

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
  /// Blocked for gradient buckets.
  public private(set) var gradients_ms = 0.0
  /// The update of the parameters.
  public private(set) var optimizer_ms = 0.0
  /// Everything else: control traffic, and what was not recorded.
  public private(set) var other_ms = 0.0

  /// A whole step.
  public var step_ms: Double {
    compute_ms + norm_ms + statistics_skew_ms + statistics_transfer_ms + gradients_ms
      + optimizer_ms + other_ms
  }

  /// The parts of `recorded` steps, or nil where there are none; `kind` says what a layer of a given
  /// name is.
  public init?(_ recorded: RecordedSteps, kind: (String) -> Kind) {
    let durations = recorded.parts.map { parts in
      parts.reduce(0) { $0 + $1.step.end - $1.step.issue }
    }
    let order = durations.indices.sorted { durations[$0] < durations[$1] }
    let middle = order.dropFirst(order.count / 4).dropLast(order.count / 4)
    guard let ranks = recorded.parts.first?.count, !middle.isEmpty else { return nil }
    var kinds: [Purpose: Kind] = [:]
    for step in middle {
      for part in recorded.parts[step] {
        add(part, recorded, weight: 1e-6 / Double(ranks * middle.count)) { purpose in
          if let known = kinds[purpose] { return known }
          let found = kind(purpose.site)
          kinds[purpose] = found
          return found
        }
      }
    }
    steps = middle.count
  }

  private mutating func add(
    _ part: RecordedSteps.Part, _ recorded: RecordedSteps, weight: Double,
    kind: (Purpose) -> Kind
  ) {
    var blocked = BlockedTime(part.entries)
    var rest = part.step.end - part.step.issue
    for entry in part.entries {
      switch entry.kind {
      case .step: break
      case .segment:
        let computing = entry.end - entry.issue - blocked.within(entry.issue, entry.end)
        rest -= computing
        switch kind(entry.purpose) {
        case .norm: norm_ms += computing * weight
        case .optimizer: optimizer_ms += computing * weight
        case .other: compute_ms += computing * weight
        }
      case .collective:
        // Tests that let it make progress lie within segments.
        compute_ms -= entry.tested * weight
        rest += entry.tested
        let split = CollectiveSplit(entry, lastArrival: recorded.lastArrival(entry).time)
        switch entry.purpose {
        case .statistics:
          statistics_skew_ms += split.exposedSkew * weight
          statistics_transfer_ms += (split.exposedTransfer + split.tested) * weight
          rest -= split.exposed
        case .gradients:
          gradients_ms += split.exposed * weight
          rest -= split.exposed
        case .control: break
        }
      }
    }
    other_ms += rest * weight
  }
}
