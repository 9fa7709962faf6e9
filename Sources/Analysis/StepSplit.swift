import LockstepCollectives
import LockstepFiles
public import LockstepRecording

/// Where the time of a run's steps went, on every rank and in every layer.
///
/// A step consists of computing, time blocked before the last rank's arrival (exposed skew), time blocked
/// after it (exposed transfer), and time that was not recorded (other).
public struct StepSplit: Codable, Sendable {
  /// One rank's steps, in milliseconds.
  public struct Rank: Codable, Sendable {
    /// A whole step.
    public let stepMilliseconds: MedianInterval
    /// Computing.
    public let computeMilliseconds: MedianInterval
    /// Blocked for statistics before the last rank arrived.
    public let statisticsSkewMilliseconds: MedianInterval
    /// Blocked for statistics after the last rank arrived.
    public let statisticsTransferMilliseconds: MedianInterval
    /// Blocked for gradient buckets before the last rank arrived.
    public let gradientsSkewMilliseconds: MedianInterval
    /// Blocked for gradient buckets after the last rank arrived.
    public let gradientsTransferMilliseconds: MedianInterval
    /// Blocked for everything else.
    public let controlMilliseconds: MedianInterval
    /// Not recorded.
    public let otherMilliseconds: MedianInterval
    /// The median share of a step that was not recorded.
    public let unaccounted: Double

    private enum CodingKeys: String, CodingKey {
      case unaccounted
      case stepMilliseconds = "step_ms"
      case computeMilliseconds = "compute_ms"
      case statisticsSkewMilliseconds = "statistics_skew_ms"
      case statisticsTransferMilliseconds = "statistics_transfer_ms"
      case gradientsSkewMilliseconds = "gradients_skew_ms"
      case gradientsTransferMilliseconds = "gradients_transfer_ms"
      case controlMilliseconds = "control_ms"
      case otherMilliseconds = "other_ms"
    }
  }

  /// What one layer computes in one pass.
  public struct Layer: Codable, Sendable {
    /// The layer's name as its parameters have it, or what is computed between layers.
    public let name: String
    /// "forward" or "backward".
    public let pass: String
    /// Computing in a step, the mean over ranks.
    public let computeMilliseconds: MedianInterval

    private enum CodingKeys: String, CodingKey {
      case name, pass
      case computeMilliseconds = "compute_ms"
    }
  }

  /// One kind of collective: a layer's statistics in one pass, or a bucket.
  ///
  /// Times are of the steps that have the collective: with a norm's `every` above 1 only some do. Numbers a step
  /// are of all steps.
  public struct Site: Codable, Sendable {
    /// "statistics" or "gradients".
    public let purpose: String
    /// The layer, or the bucket.
    public let name: String
    /// "forward" or "backward".
    public let pass: String
    /// How many steps have the collective.
    public let steps: Int
    /// The number of such collectives per step.
    public let collectives: Double
    /// A rank's bytes per step.
    public let bytes: Double
    /// From a rank's arrival to the last one's, the mean over ranks.
    public let skewMilliseconds: MedianInterval
    /// From the last arrival to the end, the mean over ranks.
    public let transferMilliseconds: MedianInterval
    /// In flight while ranks computed, the mean over ranks.
    public let inFlightMilliseconds: MedianInterval
    /// Blocked, the mean over ranks.
    public let exposedMilliseconds: MedianInterval
    /// The part of the blocked time before the last arrival.
    public let exposedSkewMilliseconds: MedianInterval
    /// The part of the blocked time after the last arrival.
    public let exposedTransferMilliseconds: MedianInterval
    /// The part of the blocked time in tests that let the collective make progress while ranks computed.
    public let testsMilliseconds: MedianInterval
    /// Blocked, on the rank that was blocked longest in each step.
    public let exposedMaximumMilliseconds: MedianInterval
    /// The skew of each rank.
    public let skewByRankMilliseconds: [MedianInterval]
    /// The share of collectives in which each rank was the last to arrive.
    public let last: [Double]

    private enum CodingKeys: String, CodingKey {
      case purpose, name, pass, steps, collectives, bytes, last
      case skewMilliseconds = "skew_ms"
      case transferMilliseconds = "transfer_ms"
      case inFlightMilliseconds = "in_flight_ms"
      case exposedMilliseconds = "exposed_ms"
      case exposedSkewMilliseconds = "exposed_skew_ms"
      case exposedTransferMilliseconds = "exposed_transfer_ms"
      case testsMilliseconds = "tests_ms"
      case exposedMaximumMilliseconds = "exposed_maximum_ms"
      case skewByRankMilliseconds = "skew_by_rank_ms"
    }
  }

  /// How many steps were split.
  public let steps: Int
  /// The split by rank.
  public let ranks: [Rank]
  /// Computing by layer and pass, in the order of a step.
  public let layers: [Layer]
  /// Statistics by layer and pass, then buckets, in the order of a step.
  public let sites: [Site]
  /// The largest possible error of a time because the ranks' clocks differ, in microseconds.
  public let clockBoundMicroseconds: Double

  private enum CodingKeys: String, CodingKey {
    case steps, ranks, layers, sites
    case clockBoundMicroseconds = "clock_bound_us"
  }
}

extension StepSplit {
  /// What to know of the medians if not every step has statistics; nil if every step has, or none.
  public var mixedStepsText: String? {
    guard sites.contains(where: { $0.purpose == "statistics" && $0.steps < steps }) else {
      return nil
    }
    return
      "only every k-th step synchronizes statistics: times of a step, a rank or a layer are medians over all "
      + "steps, with statistics and without; those of a collective are over the steps that have it"
  }
}

extension StepSplit {
  /// The sums of one rank in one step, in nanoseconds.
  private struct Sums {
    var step = 0.0
    var computing = 0.0
    var skew: [Class: Double] = [:]
    var transfer: [Class: Double] = [:]

    var parts: Double {
      computing + skew.values.reduce(0, +) + transfer.values.reduce(0, +)
    }
  }

  private enum Class: Hashable { case statistics, gradients, control }

  private static func classify(_ purpose: Purpose) -> Class {
    switch purpose {
    case .statistics: .statistics
    case .gradients: .gradients
    case .control, .computing: .control
    }
  }

  /// Splits the steps that all of `records` hold.
  public init(_ records: [RankRecord]) {
    let steps = records.map { record in record.entries.filter { $0.kind == .step } }
    let count = steps.map(\.count).min() ?? 0
    var arrivals: [RankRecord.Key: (last: Double, rank: Int)] = [:]
    for (rank, record) in records.enumerated() {
      for entry in record.entries where entry.kind == .collective {
        if let known = arrivals[entry.key], known.last >= entry.issue { continue }
        arrivals[entry.key] = (entry.issue, rank)
      }
    }
    var sums = records.map { _ in [Sums](repeating: Sums(), count: count) }
    var sites: [Purpose: SiteSums] = [:]
    var order: [Purpose] = []
    var computing: [Purpose: [Double]] = [:]
    var layerOrder: [Purpose] = []
    for (rank, record) in records.enumerated() {
      var step = 0
      var blocked = BlockedTime(record.entries)
      for entry in record.entries where count > 0 {
        while step < count, entry.issue >= steps[rank][step].end { step += 1 }
        guard step < count, entry.issue >= steps[rank][step].issue else { continue }
        let duration = entry.end - entry.issue
        switch entry.kind {
        case .step: sums[rank][step].step = duration
        case .segment:
          let computed = duration - blocked.within(entry.issue, entry.end)
          sums[rank][step].computing += computed
          if computing[entry.purpose] == nil { layerOrder.append(entry.purpose) }
          computing[entry.purpose, default: [Double](repeating: 0, count: count)][step] +=
            computed / Double(records.count)
        case .collective:
          // Tests of the collective lie within segments.
          sums[rank][step].computing -= entry.tested
          let arrival = arrivals[entry.key] ?? (entry.issue, rank)
          let split = CollectiveSplit(entry, lastArrival: arrival.last)
          sums[rank][step].skew[Self.classify(entry.purpose), default: 0] += split.exposedSkew
          sums[rank][step].transfer[Self.classify(entry.purpose), default: 0] +=
            split.exposedTransfer + split.tested
          if sites[entry.purpose] == nil {
            sites[entry.purpose] = SiteSums(ranks: records.count, steps: count)
            order.append(entry.purpose)
          }
          sites[entry.purpose]?.add(
            split, bytes: entry.bytes, rank: rank, step: step, last: arrival.rank)
        }
      }
    }
    self.steps = count
    ranks = count == 0 ? [] : sums.map(Self.rank)
    layers = layerOrder.compactMap { purpose in
      guard case .computing(let layer, let pass, _) = purpose, let steps = computing[purpose] else {
        return nil
      }
      return Layer(
        name: layer.text, pass: "\(pass)",
        computeMilliseconds: MedianInterval(steps.map { $0 / 1e6 }))
    }
    self.sites = order.filter { $0 != .control }.compactMap { purpose in
      sites[purpose]?.site(purpose)
    }
    clockBoundMicroseconds = (records.map(\.clockBound).max() ?? 0) / 1e3
  }

  private static func rank(_ steps: [Sums]) -> Rank {
    func figure(_ value: (Sums) -> Double) -> MedianInterval {
      MedianInterval(steps.map { value($0) / 1e6 })
    }
    return Rank(
      stepMilliseconds: figure(\.step), computeMilliseconds: figure(\.computing),
      statisticsSkewMilliseconds: figure { $0.skew[.statistics] ?? 0 },
      statisticsTransferMilliseconds: figure { $0.transfer[.statistics] ?? 0 },
      gradientsSkewMilliseconds: figure { $0.skew[.gradients] ?? 0 },
      gradientsTransferMilliseconds: figure { $0.transfer[.gradients] ?? 0 },
      controlMilliseconds: figure { ($0.skew[.control] ?? 0) + ($0.transfer[.control] ?? 0) },
      otherMilliseconds: figure { $0.step - $0.parts },
      unaccounted: MedianInterval(steps.map { abs($0.step - $0.parts) / max($0.step, 1) }).median)
  }

  /// The sums of one kind of collective, by rank and step.
  private struct SiteSums {
    private var splits: [[[CollectiveSplit]]]
    private var bytes = 0
    private var last: [Int]

    init(ranks: Int, steps: Int) {
      splits = Array(
        repeating: Array(repeating: [], count: steps), count: ranks)
      last = Array(repeating: 0, count: ranks)
    }

    mutating func add(
      _ split: CollectiveSplit, bytes: Int, rank: Int, step: Int, last: Int
    ) {
      splits[rank][step].append(split)
      self.bytes += bytes
      // Counted once per collective, not once per rank.
      if rank == last { self.last[last] += 1 }
    }

    func site(_ purpose: Purpose) -> Site {
      let (ranks, steps) = (splits.count, splits[0].count)
      func sum(_ rank: Int, _ step: Int, _ value: (CollectiveSplit) -> Double) -> Double {
        splits[rank][step].reduce(0) { $0 + value($1) } / 1e6
      }
      // With zeros of the other steps, a median would tell of those alone.
      let taking = (0..<steps).filter { step in splits.contains { !$0[step].isEmpty } }
      func figure(_ value: (CollectiveSplit) -> Double) -> MedianInterval {
        MedianInterval(
          taking.map { step in
            (0..<ranks).reduce(0) { $0 + sum($1, step, value) } / Double(ranks)
          })
      }
      let collectives = Double(splits.joined().joined().count) / Double(ranks * steps)
      let all = Double(max(last.reduce(0, +), 1))
      return Site(
        purpose: purpose.kind, name: purpose.site, pass: "\(purpose.pass)",
        steps: taking.count, collectives: collectives,
        bytes: Double(bytes) / Double(ranks * steps), skewMilliseconds: figure(\.skew),
        transferMilliseconds: figure(\.transfer), inFlightMilliseconds: figure(\.inFlight),
        exposedMilliseconds: figure(\.exposed),
        exposedSkewMilliseconds: figure(\.exposedSkew),
        exposedTransferMilliseconds: figure(\.exposedTransfer),
        testsMilliseconds: figure(\.tested),
        exposedMaximumMilliseconds: MedianInterval(
          taking.map { step in
            (0..<ranks).map { sum($0, step, \.exposed) }.max() ?? 0
          }),
        skewByRankMilliseconds: (0..<ranks).map { rank in
          MedianInterval(taking.map { sum(rank, $0, \.skew) })
        }, last: last.map { Double($0) / all })
    }
  }
}

extension StepSplit.Site {
  /// The collectives in a step, with two digits after the point where there is less than one.
  public var collectivesText: String {
    collectives < 1 ? fixed(collectives, 2) : counted(collectives)
  }
}
