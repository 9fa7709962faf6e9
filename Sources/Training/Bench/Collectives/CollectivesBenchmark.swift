public import Collectives
public import Measurement

/// What `bench collectives` measures and prints.
public struct CollectivesBenchmark: Codable, Sendable {
  /// What to measure.
  public struct Settings: Sendable {
    /// The operations.
    public var operations: [CollectiveOperation]
    /// The sizes, in bytes.
    public var sizes: [Int]
    /// The rank counts, none more than there are.
    public var ranks: [Int]
    /// The elements of all operations but the merges, which have types of their own.
    public var type = CollectiveElement.float64
    /// The windows between computing for each operation, size and rank count; the tight loop has a batch
    /// for every five.
    public var repetitions = 100
    /// The runs before, one or more.
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
  /// The most that a time between computing may be wrong by because the ranks' clocks are not one, in
  /// microseconds.
  public let clock_bound_us: Double
  /// The bytes of addends that rank 0 adds to others, in GB/s.
  public let reduction_gb_per_s: Double
  /// In the order of rank counts, operations and sizes.
  public let results: [CollectiveResult]

  /// Measures; `progress` is told what is done.
  ///
  /// Collective. The results are those of the ranks that measured: rank 0 has all.
  ///
  /// - Throws: ``WrongResult`` on all ranks, if any rank found an element that is wrong.
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
          var wrong = ""
          if let group {
            let probe = operation.probe(of: settings.type, bytes: size, over: group.measured)
            // Blocks are rounded up to whole elements, and two sizes can become one.
            if known.insert(probe.bytes).inserted {
              let timer = CollectiveTimer(probe, in: group, computing: computing)
              try timer.warmUp(settings.warmup)
              if operation == .barrier { try timer.checkBarrier() }
              let windows = try timer.windows(settings.repetitions)
              let tight = try timer.tightLoop(batches: max(settings.repetitions / 5, 1))
              clockBound = max(clockBound, windows.clockBound)
              CollectiveResult(
                operation, ranks: ranks, bytes: probe.bytes, windows: windows, tight: tight
              ).map { results.append($0) }
              wrong =
                timer.wrong.map {
                  "\(operation.rawValue) of \(probe.bytes) bytes over \(ranks) rank(s) is wrong on "
                    + "rank \(world.rank): \($0)"
                } ?? ""
            }
          }
          guard try meetAsleep(wrong.isEmpty ? 0 : 1, over: world) == 0 else {
            let found = try world.allGather(wrong).first { !$0.isEmpty }
            throw WrongResult(description: found ?? "")
          }
        }
        progress("\(operation.rawValue) over \(ranks) rank(s)")
      }
    }
    ranks = world.size
    type = settings.type.rawValue
    clock_bound_us = clockBound / 1e3
    reduction_gb_per_s = computing.reductionSpeed()
    self.results = results
  }

  /// The network that the all-reduces saw, as a file that a prediction starts from.
  ///
  /// - Throws: ``ConfigurationError`` on `option` where the all-reduces do not say it.
  public func fabric(name: String, source: String, option: String) throws(ConfigurationError)
    -> Fabric
  {
    var points: [Fabric.Point] = []
    for result in results where result.ranks > 1 {
      guard result.operation == CollectiveOperation.allReduce.rawValue else { continue }
      let begun = results.first {
        $0.operation == CollectiveOperation.begunAllReduce.rawValue && $0.ranks == result.ranks
          && $0.bytes == result.bytes
      }
      guard let between = result.between_us, let begun = begun?.between_us else {
        throw ConfigurationError(
          option,
          "no window of \(result.bytes) bytes over \(result.ranks) ranks was begun in time by all; "
            + "give every rank a core of its own")
      }
      points.append(
        Fabric.Point(
          ranks: result.ranks, bytes: result.bytes, between_us: between.median,
          tight_us: result.tight_us.median, nonblocking_us: begun.median))
    }
    let fabric = Fabric(
      name: name, source: source, ranks: ranks, points: points,
      reduction_gb_per_s: reduction_gb_per_s)
    guard let fabric else {
      throw ConfigurationError(
        option,
        "the times do not grow with the sizes; measure larger --sizes, or more --repetitions")
    }
    return fabric
  }
}

/// A collective whose result is not what it has to be.
public struct WrongResult: Error, CustomStringConvertible, Hashable, Sendable {
  /// Names the operation, the size, the rank and the element.
  public let description: String
}
