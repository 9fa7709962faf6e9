import Collectives

/// What steps would take on a cluster, from what was recorded on another.
///
/// Every rank computes as many samples as a recorded one did: more ranks are a larger global batch.
/// See ``NetworkModel`` for what collectives cost.
public struct Prediction: Codable, Sendable {
  /// A recorded run to predict from.
  public struct Source: Sendable {
    /// Its norm.
    public let norm: String
    /// Whether the norm takes statistics over ranks.
    public let synchronizes: Bool
    /// What its ranks recorded.
    public let records: [RankRecord]
    /// The numbers of the steps to take, those of a whole batch; nil for all.
    public let steps: Set<Int>?

    /// Puts a source together.
    public init(norm: String, synchronizes: Bool, records: [RankRecord], steps: Set<Int>? = nil) {
      (self.norm, self.synchronizes, self.records) = (norm, synchronizes, records)
      self.steps = steps
    }
  }

  /// What a prediction for a norm rests on.
  public struct Basis: Codable, Sendable {
    /// The norm.
    public let norm: String
    /// The ranks that were recorded: differences between more cannot be known.
    public let ranks: Int
    /// Their steps, all together.
    public let samples: Int
    /// θ: where more ranks meet than there are samples, the last one is assumed to come
    /// θ · ln(ranks / samples) after the latest sample; the mean over collectives, in microseconds.
    public let tail_us: Double
  }

  /// One norm on so many ranks.
  public struct Row: Codable, Sendable {
    /// The norm.
    public let norm: String
    /// How many ranks share statistics; nil where none do.
    public let statistics_group: Int?
    /// The ranks.
    public let ranks: Int
    /// A step: the median over simulated steps, with what holds 95% of medians like it.
    public let step_ms: MedianInterval
    /// Of it computing, the mean over ranks, as all that follow.
    public let compute_ms: Double
    /// Blocked for statistics before the last rank arrived.
    public let statistics_skew_ms: Double
    /// Blocked for statistics after it.
    public let statistics_transfer_ms: Double
    /// Blocked for gradients.
    public let gradients_ms: Double
    /// Blocked for everything else.
    public let control_ms: Double
    /// How the largest message of statistics is summed; nil where none is sent.
    public let statistics_algorithm: String?
    /// How the largest bucket of gradients is summed; nil where none is sent.
    public let gradients_algorithm: String?
    /// Whether more ranks meet than there are samples, so that the tail is assumed.
    public let assumes_tail: Bool
  }

  /// What to take on so many ranks, by step time alone.
  public struct Choice: Codable, Sendable {
    /// The ranks.
    public let ranks: Int
    /// The norm with the shortest step.
    public let norm: String
    /// Its statistics group; nil where there is none.
    public let statistics_group: Int?
    /// By how much the next one's step is longer, as a share; nil where there is no other.
    public let ahead: Double?
    /// Whether that is more than predictions may be wrong by.
    public let is_sure: Bool
    /// Why, in words.
    public let reason: String
  }

  /// The fabric's name.
  public let fabric: String
  /// Where its figures come from.
  public let fabric_source: String
  /// The library whose choice of algorithms is assumed.
  public let library: MPILibrary
  /// What it rests on, by norm.
  public let bases: [Basis]
  /// By ranks, norm and group.
  public let rows: [Row]
  /// One for each number of ranks.
  public let choices: [Choice]
}

extension Prediction {
  /// What predictions were checked to, as a share of the step.
  public static let tolerance = 0.15

  /// The largest number of ranks.
  public static let largest = 100_000

  /// Predicts steps of every source on each of `ranks`; of those that synchronize, over all ranks and
  /// over groups of each size in `groups` that divides the ranks.
  ///
  /// - Throws: ``RecordingError`` if a source has no step.
  public init(
    _ sources: [Source], on network: NetworkModel, ranks: [Int], groups: [Int] = [],
    seed: UInt64 = 1
  ) throws(RecordingError) {
    fabric = network.fabric.name
    fabric_source = network.fabric.source
    library = network.library
    var (rows, bases): ([Row], [Basis]) = ([], [])
    for source in sources {
      guard let samples = StepSamples(source.records, steps: source.steps) else {
        throw RecordingError(source.norm, "no step was recorded; train for some steps first")
      }
      let all = StepSimulation(
        samples, network, ranks: 2, group: source.synchronizes ? 2 : 1)
      bases.append(
        Basis(
          norm: source.norm, ranks: samples.ranks.count, samples: samples.count,
          tail_us: all.meanTail / 1e3))
      for count in ranks {
        let sizes = Set(groups.filter { $0 > 1 && $0 < count && count % $0 == 0 } + [count])
        for group in source.synchronizes ? sizes.sorted() : [1] {
          rows.append(
            Self.row(source, samples, network, ranks: count, group: group, seed: seed))
        }
      }
    }
    self.bases = bases
    self.rows = rows.sorted { $0.ranks < $1.ranks }
    choices = Set(ranks).sorted().compactMap { [rows] count in
      Self.choice(rows.filter { $0.ranks == count })
    }
  }

  /// How many numbers a simulation adds, about.
  private static let work = 4_000_000

  private static func row(
    _ source: Source, _ samples: StepSamples, _ network: NetworkModel, ranks: Int, group: Int,
    seed: UInt64
  ) -> Row {
    let simulation = StepSimulation(samples, network, ranks: ranks, group: group)
    let each = ranks * (samples.shape.actions.count + 1)
    // The first starts with all ranks at once, as none after it does.
    let steps = simulation.steps(min(201, max(21, work / each)), seed: seed).dropFirst()
    func mean(_ part: (StepSimulation.Step) -> Double) -> Double {
      steps.reduce(0) { $0 + part($1) } / Double(steps.count) / 1e6
    }
    func algorithm(_ meeting: Int, _ isWanted: (Purpose) -> Bool) -> String? {
      let largest = samples.shape.collectives.filter { isWanted($0.purpose) }
        .max { $0.bytes < $1.bytes }
      guard meeting > 1, let largest else { return nil }
      return network.allReduce(
        bytes: largest.bytes, ranks: meeting, world: ranks, blocking: largest.isBlocking
      ).algorithm
    }
    return Row(
      norm: source.norm, statistics_group: group > 1 ? group : nil, ranks: ranks,
      step_ms: MedianInterval(steps.map { $0.step / 1e6 }), compute_ms: mean(\.computing),
      statistics_skew_ms: mean(\.statisticsSkew),
      statistics_transfer_ms: mean(\.statisticsTransfer), gradients_ms: mean(\.gradients),
      control_ms: mean(\.control),
      statistics_algorithm: algorithm(group) { if case .statistics = $0 { true } else { false } },
      gradients_algorithm: algorithm(ranks) { if case .gradients = $0 { true } else { false } },
      assumes_tail: ranks > samples.count)
  }

  private static func choice(_ rows: [Row]) -> Choice? {
    let sorted = rows.sorted { $0.step_ms.median < $1.step_ms.median }
    guard let best = sorted.first else { return nil }
    let ahead = sorted.dropFirst().first.map {
      $0.step_ms.median / max(best.step_ms.median, 1e-9) - 1
    }
    func name(_ row: Row) -> String {
      row.statistics_group.map {
        $0 == row.ranks ? "\(row.norm) over all ranks" : "\(row.norm) over groups of \($0)"
      } ?? row.norm
    }
    let reason: String
    if let ahead, let next = sorted.dropFirst().first {
      let percent = (100 * ahead).rounded()
      let parts = [
        ("computes", next.compute_ms - best.compute_ms),
        (
          "waits for the slowest rank at its statistics",
          next.statistics_skew_ms - best.statistics_skew_ms
        ),
        (
          "waits for the transfer of its statistics",
          next.statistics_transfer_ms - best.statistics_transfer_ms
        ),
        ("waits for gradients", next.gradients_ms - best.gradients_ms),
      ]
      let most = parts.max { $0.1 < $1.1 } ?? parts[0]
      reason =
        "\(name(next)) takes \(fixed(percent, 0))% longer; most of all it \(most.0) longer"
        + (ahead > tolerance
          ? "" : "; predictions were checked to 15%, so measure both before you choose")
    } else {
      reason = "it is the only one that was recorded"
    }
    return Choice(
      ranks: best.ranks, norm: best.norm, statistics_group: best.statistics_group, ahead: ahead,
      is_sure: ahead.map { $0 > tolerance } ?? false, reason: reason)
  }
}
