import LockstepAnalysis

/// One operation on one size over a given number of ranks, as `bench collectives` prints it.
public struct CollectiveResult: Codable, Sendable {
  /// Times of a run, in microseconds.
  public struct Times: Codable, Sendable {
    /// The shortest.
    public let minimum: Double
    /// The median.
    public let median: Double
    /// The lower end of the median's 95% interval.
    public let low: Double
    /// Its upper end.
    public let high: Double

    /// The figures of `samples`; nil of none.
    init?(_ samples: [Double]) {
      guard let minimum = samples.min() else { return nil }
      let interval = MedianInterval(samples)
      self.minimum = minimum
      (median, low, high) = (interval.median, interval.low, interval.high)
    }
  }

  /// What the median time makes of the bytes, in GB/s.
  public struct Bandwidths: Codable, Sendable {
    /// Bytes over time.
    public let algorithm: Double
    /// What each rank's link carries in one direction; nil where that depends on the algorithm.
    public let bus: Double?

    /// The bandwidths of an operation; nil of one without bytes.
    public init?(_ operation: CollectiveOperation, ranks: Int, bytes: Int, microseconds: Double) {
      guard bytes > 0, microseconds > 0 else { return nil }
      let algorithm = Double(bytes) / microseconds / 1e3
      self.algorithm = algorithm
      bus = operation.busFactor(ranks: ranks).map { $0 * algorithm }
    }
  }

  /// The operation's name.
  public let operation: String
  /// The ranks that took part.
  public let ranks: Int
  /// What a rank gives to a sum or a broadcast; of an all-gather and a reduce-scatter all blocks
  /// together.
  public let bytes: Int
  /// The channels whose moments were merged; nil of another operation.
  public let channels: Int?
  /// Between computing, as a step meets it: from the last rank's arrival to the last rank's end; nil if
  /// there was no window that all ranks began in time.
  public let betweenMicroseconds: Times?
  /// In a tight loop, a run's share of a batch on the slowest rank.
  public let tightMicroseconds: Times
  /// From the median between computing.
  public let betweenGbPerSecond: Bandwidths?
  /// From the median of the tight loop.
  public let tightGbPerSecond: Bandwidths?
  /// The windows between computing that count.
  public let windows: Int
  /// The windows that were left out because a rank began late.
  public let lateWindows: Int

  private enum CodingKeys: String, CodingKey {
    case operation, ranks, bytes, channels, windows
    case betweenMicroseconds = "between_us"
    case tightMicroseconds = "tight_us"
    case betweenGbPerSecond = "between_gb_per_s"
    case tightGbPerSecond = "tight_gb_per_s"
    case lateWindows = "late_windows"
  }

  init?(
    _ operation: CollectiveOperation, ranks: Int, probe: CollectiveProbe,
    windows: CollectiveTimer.Windows, tight: [Double]
  ) {
    guard let tight = Times(tight) else { return nil }
    self.operation = operation.rawValue
    (self.ranks, bytes, channels) = (ranks, probe.bytes, probe.channels)
    let bytes = probe.bytes
    let between = Times(windows.microseconds)
    (betweenMicroseconds, tightMicroseconds) = (between, tight)
    betweenGbPerSecond = between.flatMap {
      Bandwidths(operation, ranks: ranks, bytes: bytes, microseconds: $0.median)
    }
    tightGbPerSecond = Bandwidths(
      operation, ranks: ranks, bytes: bytes, microseconds: tight.median)
    self.windows = windows.microseconds.count
    lateWindows = windows.late
  }
}
