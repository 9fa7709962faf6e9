public import LockstepAnalysis
import LockstepCollectives
import LockstepFiles
public import LockstepMachine
public import LockstepRecording

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
    /// How its loss fell; nil where that is not asked for.
    public let course: TrainingCourse?

    /// Puts a source together.
    public init(
      norm: String, synchronizes: Bool, records: [RankRecord], steps: Set<Int>? = nil,
      course: TrainingCourse? = nil
    ) {
      (self.norm, self.synchronizes, self.records) = (norm, synchronizes, records)
      (self.steps, self.course) = (steps, course)
    }

    /// The numbers of the steps of a whole batch that nothing disturbed.
    var clean: (steps: Set<Int>, share: Double) {
      let numbers = records.map { record in
        Set(record.entries.filter { $0.kind == .step }.map(\.key.number))
      }
      let common = numbers.dropFirst().reduce(numbers.first ?? []) { $0.intersection($1) }
      let wanted = steps.map(common.intersection) ?? common
      let clean = wanted.subtracting(records.disturbances.keys)
      let share = wanted.isEmpty ? 0 : 1 - Double(clean.count) / Double(wanted.count)
      return (clean.isEmpty ? wanted : clean, share)
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
    /// How many ranks share statistics; nil where none do.
    public let statisticsGroup: Int?
    /// The ranks.
    public let ranks: Int
    /// A step: the median over simulated steps, with what holds 95% of medians like it.
    public let stepMilliseconds: MedianInterval
    /// Compute time; this and all fields below are means over ranks.
    public let computeMilliseconds: Double
    /// Blocked for statistics before the last rank arrived.
    public let statisticsSkewMilliseconds: Double
    /// Blocked for statistics after it.
    public let statisticsTransferMilliseconds: Double
    /// Blocked for gradients.
    public let gradientsMilliseconds: Double
    /// Blocked for everything else.
    public let controlMilliseconds: Double
    /// How the largest message of statistics is summed; nil where none is sent.
    public let statisticsAlgorithm: String?
    /// How the largest bucket of gradients is summed; nil where none is sent.
    public let gradientsAlgorithm: String?
    /// Whether more ranks meet than there are samples, so that the tail is assumed.
    public let assumesTail: Bool
    /// What an epoch and a loss cost; nil where it was not asked for.
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

  /// What to take on a number of ranks, by step time alone.
  public struct Choice: Codable, Sendable {
    /// The ranks.
    public let ranks: Int
    /// The norm with the shortest step.
    public let norm: String
    /// Its statistics group; nil where there is none.
    public let statisticsGroup: Int?
    /// By how much the next one's step is longer, as a share; nil where there is no other.
    public let ahead: Double?
    /// Whether that is more than predictions may be wrong by.
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
  /// Where its figures come from.
  public let fabricSource: String
  /// The library whose choice of algorithms is assumed.
  public let library: MPILibrary
  /// What it rests on, by norm.
  public let bases: [Basis]
  /// By ranks, norm and group.
  public let rows: [Row]
  /// One for each number of ranks.
  public let choices: [Choice]
  /// The noise that was added to the undisturbed steps.
  public let noise: MachineNoise
  /// The share of the recorded steps that were disturbed and left out, from 0 to 1: the largest of the runs.
  public let disturbedShare: Double

  private enum CodingKeys: String, CodingKey {
    case fabric, library, bases, rows, choices, noise
    case fabricSource = "fabric_source"
    case disturbedShare = "disturbed_share"
  }
}

extension Prediction {
  /// The most that `bench prediction` found predictions to be off by, as a share of the step: on two ranks,
  /// over shared memory and TCP, of three networks under four norms.
  public static let tolerance = 0.1

  /// The largest number of ranks.
  public static let largest = 100_000

  /// Predicts steps of every source on each of `ranks`; of those that synchronize, over all ranks and
  /// over groups of each size in `groups` that divides the ranks.
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
    for (source, clean) in zip(sources, clean) {
      guard let samples = StepSamples(source.records, steps: clean.steps) else {
        throw RecordingError(source.norm, "no step was recorded; train for some steps first")
      }
      let all = StepSimulation(
        samples, network, ranks: 2, group: source.synchronizes ? 2 : 1)
      bases.append(
        Basis(
          norm: source.norm, ranks: samples.ranks.count, samples: samples.count,
          tailMicroseconds: all.meanTail / 1e3))
      for count in ranks {
        let sizes = Set(groups.filter { $0 > 1 && $0 < count && count % $0 == 0 } + [count])
        for group in source.synchronizes ? sizes.sorted() : [1] {
          rows.append(
            Self.row(
              source, samples, network, ranks: count, group: group, noise: noise, price: price,
              seed: seed))
        }
      }
    }
    self.bases = bases
    self.rows = rows.sorted { $0.ranks < $1.ranks }
    let isClean = disturbedShare <= Self.mostDisturbed
    choices = Set(ranks).sorted().compactMap { [rows] count in
      Self.choice(rows.filter { $0.ranks == count }, isClean: isClean)
    }
  }

  /// Of steps more of which were disturbed not even the others say for sure what is faster.
  private static let mostDisturbed = 0.5

  /// How many numbers a simulation adds, about.
  private static let work = 4_000_000

  private static func row(
    _ source: Source, _ samples: StepSamples, _ network: NetworkModel, ranks: Int, group: Int,
    noise: MachineNoise, price: Double?, seed: UInt64
  ) -> Row {
    let simulation = StepSimulation(samples, network, ranks: ranks, group: group, noise: noise)
    let each = ranks * (samples.shape.actions.count + 1)
    // The first step is dropped: only there do all ranks start together.
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
    let time = MedianInterval(steps.map { $0.step / 1e6 })
    return Row(
      norm: source.norm, statisticsGroup: group > 1 ? group : nil, ranks: ranks,
      stepMilliseconds: time, computeMilliseconds: mean(\.computing),
      statisticsSkewMilliseconds: mean(\.statisticsSkew),
      statisticsTransferMilliseconds: mean(\.statisticsTransfer),
      gradientsMilliseconds: mean(\.gradients),
      controlMilliseconds: mean(\.control),
      statisticsAlgorithm: algorithm(group) { if case .statistics = $0 { true } else { false } },
      gradientsAlgorithm: algorithm(ranks) { if case .gradients = $0 { true } else { false } },
      assumesTail: ranks > samples.count,
      cost: source.course.map {
        TrainingCost($0, ranks: ranks, step: time.median / 1e3, price: price)
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
        ("computes", next.computeMilliseconds - best.computeMilliseconds),
        (
          "waits for the slowest rank at its statistics",
          next.statisticsSkewMilliseconds - best.statisticsSkewMilliseconds
        ),
        (
          "waits for the transfer of its statistics",
          next.statisticsTransferMilliseconds - best.statisticsTransferMilliseconds
        ),
        ("waits for gradients", next.gradientsMilliseconds - best.gradientsMilliseconds),
      ]
      let most = parts.max { $0.1 < $1.1 } ?? parts[0]
      reason =
        "\(name(next)) takes \(fixed(100 * ahead, 0))% longer; most of all it \(most.0) longer"
      // Apart even where both predictions are wrong by as much as was found, each to its own side.
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
