public import LockstepCollectives
import LockstepDataParallel
public import LockstepFiles
public import LockstepPrediction

/// What `bench collectives` measures and prints.
public struct CollectivesBenchmark: Codable, Sendable {
  /// What to measure.
  public struct Settings: Sendable {
    /// The operations.
    public var operations: [CollectiveOperation]
    /// The sizes, in bytes.
    public var sizes: [Int]
    /// The rank counts, none above the number of ranks that there are.
    public var ranks: [Int]
    /// The type of the elements, except in merges, which use their own types.
    public var type = CollectiveElement.float64
    /// The number of windows between computing for each operation, size and rank count; the tight loop runs
    /// one batch for every five windows.
    public var repetitions = 100
    /// The number of runs before measuring, one or more.
    public var warmup = 10

    /// Measures `operations` on `sizes` over `ranks` ranks.
    public init(operations: [CollectiveOperation], sizes: [Int], ranks: [Int]) {
      (self.operations, self.sizes, self.ranks) = (operations, sizes, ranks)
    }
  }

  /// The number of ranks that there are.
  public let ranks: Int
  /// The type of the elements.
  public let type: String
  /// The largest error of a time between computing because the ranks' clocks differ, in microseconds.
  public let clockBoundMicroseconds: Double
  /// How fast rank 0 adds numbers up, in GB/s of addends.
  public let reductionGbPerSecond: Double
  /// The results, in the order of rank counts, operations and sizes.
  public let results: [CollectiveResult]

  private enum CodingKeys: String, CodingKey {
    case ranks, type, results
    case clockBoundMicroseconds = "clock_bound_us"
    case reductionGbPerSecond = "reduction_gb_per_s"
  }

  /// Measures, and calls `progress` with what has been done.
  ///
  /// Collective. A rank has only the results that it took part in; rank 0 has all.
  ///
  /// - Throws: ``CollectivesFailure`` on all ranks, if any rank found a wrong element.
  public init(
    _ settings: Settings, over world: any Communicator, progress: (String) -> Void = { _ in }
  ) throws {
    let computing = StepLikeComputing()
    var results: [CollectiveResult] = []
    var clockBound = 0.0
    for ranks in settings.ranks {
      let group = try CollectiveGroup.first(ranks, of: world)
      for operation in settings.operations {
        var known: Set<Int> = []
        for size in operation == .barrier ? [0] : settings.sizes {
          var wrong: String?
          if let group {
            let probe = operation.probe(of: settings.type, bytes: size, over: group.measured)
            // Blocks are rounded up to whole elements, so two sizes can become the same.
            if known.insert(probe.bytes).inserted {
              let timer = CollectiveTimer(probe, in: group, computing: computing)
              if let measured = try Self.measure(operation, probe, timer, settings, ranks: ranks) {
                results.append(measured.result)
                clockBound = max(clockBound, measured.clockBound)
              }
              wrong = timer.wrong.map {
                "\(operation.rawValue) of \(probe.bytes) bytes over \(ranks) rank(s) is wrong on rank "
                  + "\(world.rank): \($0)"
              }
            }
          }
          guard try meetAsleep(wrong == nil ? 0 : 1, over: world) == 0 else {
            let found = try world.allGather(wrong ?? "").first { !$0.isEmpty }
            throw CollectivesFailure(description: found ?? "")
          }
        }
        progress("\(operation.rawValue) over \(ranks) rank(s)")
      }
    }
    ranks = world.size
    type = settings.type.rawValue
    clockBoundMicroseconds = clockBound / 1e3
    reductionGbPerSecond = computing.reductionSpeed()
    self.results = results
  }

  /// Measures one operation on one size; nil if a result was wrong on any rank.
  ///
  /// A wrong result ends the measurement at once, before sums in place spread it to other ranks.
  private static func measure(
    _ operation: CollectiveOperation, _ probe: CollectiveProbe, _ timer: CollectiveTimer,
    _ settings: Settings, ranks: Int
  ) throws -> (result: CollectiveResult, clockBound: Double)? {
    try timer.warmUp(settings.warmup)
    if operation == .barrier { try timer.checkBarrier() }
    guard try !timer.isWrongAnywhere() else { return nil }
    let windows = try timer.windows(settings.repetitions)
    guard try !timer.isWrongAnywhere() else { return nil }
    let tight = try timer.tightLoop(batches: max(settings.repetitions / 5, 1))
    let result = CollectiveResult(
      operation, ranks: ranks, probe: probe, windows: windows, tight: tight)
    return result.map { ($0, windows.clockBound) }
  }

  /// The fabric that fits the measured all-reduces, for predictions, on rank 0; nil on the others.
  ///
  /// Collective.
  ///
  /// - Throws: ``CollectivesFailure`` on all ranks, if the all-reduces do not determine it.
  public func fabric(name: String, source: String, over world: any Communicator) throws -> Fabric? {
    var fabric: Fabric?
    var problem = ""
    if world.rank == 0 {
      do {
        fabric = try Self.fabric(name: name, source: source, of: self)
      } catch {
        problem = error.description
      }
    }
    problem = try world.broadcast(problem, from: 0)
    guard problem.isEmpty else { throw CollectivesFailure(description: problem) }
    return fabric
  }

  private static func fabric(name: String, source: String, of benchmark: Self)
    throws(CollectivesFailure) -> Fabric
  {
    var points: [Fabric.Point] = []
    for result in benchmark.results where result.ranks > 1 {
      guard result.operation == CollectiveOperation.allReduce.rawValue else { continue }
      let begun = benchmark.results.first {
        $0.operation == CollectiveOperation.begunAllReduce.rawValue && $0.ranks == result.ranks
          && $0.bytes == result.bytes
      }
      guard let between = result.betweenMicroseconds, let begun = begun?.betweenMicroseconds else {
        throw CollectivesFailure(
          description:
            "no fabric: in no window of \(result.bytes) bytes over \(result.ranks) ranks did all "
            + "ranks begin in time; give every rank a core of its own")
      }
      points.append(
        Fabric.Point(
          ranks: result.ranks, bytes: result.bytes, betweenMicroseconds: between.median,
          tightMicroseconds: result.tightMicroseconds.median, nonblockingMicroseconds: begun.median)
      )
    }
    let fabric = Fabric(
      name: name, source: source, ranks: benchmark.ranks, points: points,
      reductionGbPerSecond: benchmark.reductionGbPerSecond)
    guard let fabric else {
      throw CollectivesFailure(
        description: "no fabric: the times do not grow with the sizes; measure larger --sizes, or "
          + "more --repetitions")
    }
    return fabric
  }
}

/// A collective gave a wrong result, or a measurement tells nothing.
public struct CollectivesFailure: ProgramError, Hashable, Sendable {
  /// Every rank throws it.
  public var isSharedByAllRanks: Bool { true }

  /// The run failed.
  public var exitStatus: Int32 { ExitStatus.failed }

  /// For a wrong result, the operation, the size, the rank and the element; otherwise what is missing, and
  /// what to do.
  public let description: String
}
