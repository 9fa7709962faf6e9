public import LockstepAnalysis
public import LockstepCollectives
import LockstepFiles
public import LockstepMachine
public import LockstepRecording

/// How long steps would take on one cluster, predicted from what was recorded on another.
///
/// Every rank computes as many samples as a recorded one did, so more ranks mean a larger global batch.
/// See ``NetworkModel`` for what collectives cost.
public struct Prediction: Codable, Sendable {
  /// A recorded run to predict from.
  public struct Source: Sendable {
    /// The run's norm.
    public let norm: String
    /// Whether the norm takes statistics over ranks.
    public let synchronizes: Bool
    /// What the run's ranks recorded.
    public let records: [RankRecord]
    /// The numbers of the steps to use, which are those with a whole batch; nil for all.
    public let steps: Set<Int>?
    /// How long the run's training took; nil if costs are not asked for.
    public let course: TrainingCourse?

    /// Creates a source.
    public init(
      norm: String, synchronizes: Bool, records: [RankRecord], steps: Set<Int>? = nil,
      course: TrainingCourse? = nil
    ) {
      (self.norm, self.synchronizes, self.records) = (norm, synchronizes, records)
      (self.steps, self.course) = (steps, course)
    }

    /// What each rank recorded, with the numbers of the steps that count, for ``MachineNoise``.
    public var wholeBatches: [(record: RankRecord, steps: Set<Int>?)] {
      records.map { ($0, steps) }
    }

    /// The numbers of the undisturbed steps with a whole batch, and the share of disturbed ones.
    var clean: (steps: Set<Int>, share: Double) {
      let numbers = records.map { record in
        Set(record.entries.filter { $0.kind == .step }.map(\.key.number))
      }
      let common = numbers.dropFirst().reduce(numbers.first ?? []) { $0.intersection($1) }
      let wanted = steps.map(common.intersection) ?? common
      let clean = wanted.subtracting(records.disturbances.keys)
      let share = wanted.isEmpty ? 0 : 1 - Double(clean.count) / Double(wanted.count)
      return (clean, share)
    }
  }

  /// What a prediction for a norm rests on.
  public struct Basis: Codable, Sendable {
    /// The norm.
    public let norm: String
    /// The number of recorded ranks; how further ranks would differ is not known.
    public let ranks: Int
    /// The number of recorded steps, summed over the ranks, of the kind that has fewest.
    public let samples: Int
    /// θ as the mean over collectives, and over the kinds of steps by their shares, in microseconds.
    ///
    /// If more ranks meet in a collective than there are samples, the last one is assumed to arrive
    /// θ · ln(ranks / samples) after the latest sample.
    public let tailMicroseconds: Double

    private enum CodingKeys: String, CodingKey {
      case norm, ranks, samples
      case tailMicroseconds = "tail_us"
    }
  }

  /// One norm on a number of ranks.
  public struct Row: Codable, Sendable {
    /// The norm.
    public let norm: String
    /// How many ranks share statistics; nil if none do.
    public let statisticsGroup: Int?
    /// The ranks.
    public let ranks: Int
    /// The step time: the median over simulated steps, with its 95% interval, as a mean over the kinds of steps.
    public let stepMilliseconds: MedianInterval
    /// Computing; like the other times below, it is a mean over ranks.
    public let computeMilliseconds: Double
    /// Blocked for statistics before the last rank arrived.
    public let statisticsSkewMilliseconds: Double
    /// Blocked for statistics after the last rank arrived.
    public let statisticsTransferMilliseconds: Double
    /// Blocked for gradients.
    public let gradientsMilliseconds: Double
    /// Blocked for everything else.
    public let controlMilliseconds: Double
    /// The algorithm that sums the largest message of statistics; nil if none is sent.
    public let statisticsAlgorithm: String?
    /// The algorithm that sums the largest bucket of gradients; nil if none is sent.
    public let gradientsAlgorithm: String?
    /// Whether there are more ranks than samples, so that the tail is assumed.
    public let assumesTail: Bool
    /// What an epoch and the target loss cost; nil if it was not asked for.
    public let cost: TrainingCost?

    private enum CodingKeys: String, CodingKey {
      case norm, ranks, cost
      case statisticsGroup = "statistics_group"
      case stepMilliseconds = "step_ms"
      case computeMilliseconds = "compute_ms"
      case statisticsSkewMilliseconds = "statistics_skew_ms"
      case statisticsTransferMilliseconds = "statistics_transfer_ms"
      case gradientsMilliseconds = "gradients_ms"
      case controlMilliseconds = "control_ms"
      case statisticsAlgorithm = "statistics_algorithm"
      case gradientsAlgorithm = "gradients_algorithm"
      case assumesTail = "assumes_tail"
    }
  }

  /// Which norm to use on a number of ranks, by step time alone.
  public struct Choice: Codable, Sendable {
    /// The ranks.
    public let ranks: Int
    /// The norm with the shortest step.
    public let norm: String
    /// The norm's statistics group; nil if there is none.
    public let statisticsGroup: Int?
    /// How much longer the next norm's step is, as a share; nil if there is no other.
    public let ahead: Double?
    /// Whether the lead is more than predictions may be wrong by, and most recorded steps were undisturbed.
    public let isSure: Bool
    /// Why, in words.
    public let reason: String

    private enum CodingKeys: String, CodingKey {
      case ranks, norm, ahead, reason
      case statisticsGroup = "statistics_group"
      case isSure = "is_sure"
    }
  }

  /// The fabric's name.
  public let fabric: String
  /// Where the fabric's figures come from.
  public let fabricSource: String
  /// The library whose choice of algorithms is assumed.
  public let library: MPILibrary
  /// What the prediction rests on, by norm.
  public let bases: [Basis]
  /// The predicted steps, by ranks, norm and statistics group.
  public let rows: [Row]
  /// The choice for each number of ranks.
  public let choices: [Choice]
  /// The noise that was added to the undisturbed steps.
  public let noise: MachineNoise
  /// The norms to whose steps no noise was added, because they hold the noise of their machine: no undisturbed step was
  /// recorded.
  public let normsWithoutNoise: [String]
  /// The largest share, over the runs, of recorded steps that were disturbed and left out, from 0 to 1.
  public let disturbedShare: Double

  private enum CodingKeys: String, CodingKey {
    case fabric, library, bases, rows, choices, noise
    case fabricSource = "fabric_source"
    case disturbedShare = "disturbed_share"
    case normsWithoutNoise = "norms_without_noise"
  }
}

extension Prediction {
  /// The largest error of predictions that `bench prediction` found, as a share of the step.
  ///
  /// It ran on two ranks, over shared memory and TCP, with three networks under four norms.
  public static let tolerance = 0.1

  /// The largest number of ranks to predict for.
  public static let largest = 100_000

  /// Predicts steps of every source on each number of ranks in `ranks`.
  ///
  /// Sources that synchronize statistics do so over all ranks, and over groups of each size in `groups`
  /// that divides the number of ranks.
  ///
  /// - Throws: ``RecordingError`` if a source has no step.
  public init(
    _ sources: [Source], on network: NetworkModel, ranks: [Int], groups: [Int] = [],
    noise: MachineNoise = .none, price: Double? = nil, seed: UInt64 = 1
  ) throws(RecordingError) {
    self.noise = noise
    let clean = sources.map(\.clean)
    disturbedShare = clean.map(\.share).max() ?? 0
    fabric = network.fabric.name
    fabricSource = network.fabric.source
    library = network.library
    var (rows, bases): ([Row], [Basis]) = ([], [])
    var loud: [String] = []
    for (source, clean) in zip(sources, clean) {
      let kinds = StepSamples.kinds(
        of: source.records, steps: source.steps, preferring: clean.steps)
      guard let first = kinds.first else {
        throw RecordingError(source.norm, "no step was recorded; train for some steps first")
      }
      if noise.detoursPerSecond > 0, !kinds.contains(where: \.isUndisturbed),
        !loud.contains(source.norm)
      {
        loud.append(source.norm)
      }
      let tail = kinds.reduce(0) { sum, kind in
        sum + kind.share
          * StepSimulation(kind, network, ranks: 2, group: source.synchronizes ? 2 : 1).meanTail
      }
      bases.append(
        Basis(
          norm: source.norm, ranks: first.ranks.count, samples: kinds.map(\.count).min() ?? 0,
          tailMicroseconds: tail / 1e3))
      for count in ranks {
        let sizes = Set(groups.filter { $0 > 1 && $0 < count && count % $0 == 0 } + [count])
        for group in source.synchronizes ? sizes.sorted() : [1] {
          rows.append(
            Self.row(
              source, kinds, network, ranks: count, group: group, noise: noise, price: price,
              seed: seed))
        }
      }
    }
    normsWithoutNoise = loud
    self.bases = bases
    self.rows = rows.sorted { $0.ranks < $1.ranks }
    let isClean = disturbedShare <= Self.mostDisturbed
    choices = Set(ranks).sorted().compactMap { [rows] count in
      Self.choice(rows.filter { $0.ranks == count }, isClean: isClean)
    }
  }

  /// If a larger share of the steps was disturbed, even the others do not say for sure what is faster.
  private static let mostDisturbed = 0.5

  /// About how many numbers a simulation adds, which limits its time.
  private static let work = 4_000_000

  /// The means of the kinds of steps, by how frequent they are.
  private static func row(
    _ source: Source, _ kinds: [StepSamples], _ network: NetworkModel, ranks: Int, group: Int,
    noise: MachineNoise, price: Double?, seed: UInt64
  ) -> Row {
    let simulated = kinds.map { kind in
      // What disturbed the steps is in their times where no undisturbed ones were recorded.
      let simulation = StepSimulation(
        kind, network, ranks: ranks, group: group, noise: kind.isUndisturbed ? noise : .none)
      let each = ranks * (kind.shape.actions.count + 1)
      // The first step is dropped, because all ranks start together there alone.
      return simulation.steps(min(201, max(21, work / each)), seed: seed).dropFirst()
    }
    func mean(_ ofKind: (ArraySlice<StepSimulation.Step>) -> Double) -> Double {
      zip(kinds, simulated).reduce(0) { $0 + $1.0.share * ofKind($1.1) }
    }
    func mean(_ part: (StepSimulation.Step) -> Double) -> Double {
      mean { steps in steps.reduce(0) { $0 + part($1) } / Double(steps.count) / 1e6 }
    }
    func algorithm(_ meeting: Int, _ isWanted: (Purpose) -> Bool) -> String? {
      let largest = kinds.flatMap(\.shape.collectives).filter { isWanted($0.purpose) }
        .max { $0.bytes < $1.bytes }
      guard meeting > 1, let largest else { return nil }
      return network.allReduce(
        bytes: largest.bytes, ranks: meeting, world: ranks, blocking: largest.isBlocking
      ).algorithm
    }
    func time(_ bound: (MedianInterval) -> Double) -> Double {
      mean { steps in bound(MedianInterval(steps.map { $0.step / 1e6 })) }
    }
    let step = MedianInterval(median: time(\.median), low: time(\.low), high: time(\.high))
    return Row(
      norm: source.norm, statisticsGroup: group > 1 ? group : nil, ranks: ranks,
      stepMilliseconds: step, computeMilliseconds: mean(\.computing),
      statisticsSkewMilliseconds: mean(\.statisticsSkew),
      statisticsTransferMilliseconds: mean(\.statisticsTransfer),
      gradientsMilliseconds: mean(\.gradients),
      controlMilliseconds: mean(\.control),
      statisticsAlgorithm: algorithm(group) { if case .statistics = $0 { true } else { false } },
      gradientsAlgorithm: algorithm(ranks) { if case .gradients = $0 { true } else { false } },
      assumesTail: kinds.contains { ranks > $0.count },
      cost: source.course.map {
        TrainingCost($0, ranks: ranks, step: step.median / 1e3, price: price)
      })
  }

  private static func choice(_ rows: [Row], isClean: Bool) -> Choice? {
    let sorted = rows.sorted { $0.stepMilliseconds.median < $1.stepMilliseconds.median }
    guard let best = sorted.first else { return nil }
    let ahead = sorted.dropFirst().first.map {
      $0.stepMilliseconds.median / max(best.stepMilliseconds.median, 1e-9) - 1
    }
    func name(_ row: Row) -> String {
      row.statisticsGroup.map {
        $0 == row.ranks ? "\(row.norm) over all ranks" : "\(row.norm) over groups of \($0)"
      } ?? row.norm
    }
    var (reason, isSure) = ("it is the only one that was recorded", false)
    if let ahead, let next = sorted.dropFirst().first {
      let parts = [
        ("computes longer", next.computeMilliseconds - best.computeMilliseconds),
        (
          "waits longer for the slowest rank at its statistics",
          next.statisticsSkewMilliseconds - best.statisticsSkewMilliseconds
        ),
        (
          "waits longer for the transfer of its statistics",
          next.statisticsTransferMilliseconds - best.statisticsTransferMilliseconds
        ),
        ("waits longer for gradients", next.gradientsMilliseconds - best.gradientsMilliseconds),
        (
          "waits longer for collectives of control",
          next.controlMilliseconds - best.controlMilliseconds
        ),
      ]
      reason = "\(name(next)) takes \(fixed(100 * ahead, 0))% longer"
      if let most = parts.max(by: { $0.1 < $1.1 }), most.1 > 0 {
        reason += ", mainly because it \(most.0)"
      }
      // They are apart if they stay so when each is wrong by the tolerance, towards the other.
      let areApart =
        best.stepMilliseconds.high * (1 + tolerance) < next.stepMilliseconds.low * (1 - tolerance)
      isSure = areApart && isClean
      if !areApart {
        reason +=
          "; predictions were found to be off by up to \(fixed(100 * tolerance, 0))%, so measure both "
          + "before you choose"
      } else if !isClean {
        reason +=
          "; most of the recorded steps were disturbed, so record on a quieter machine before you choose"
      }
    }
    return Choice(
      ranks: best.ranks, norm: best.norm, statisticsGroup: best.statisticsGroup, ahead: ahead,
      isSure: isSure, reason: reason)
  }
}
