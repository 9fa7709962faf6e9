import LockstepAnalysis

/// One operation on one size over a given number of ranks, as `bench collectives` prints it.
public struct CollectiveResult: Codable, Sendable {
  /// Times of a run, in microseconds.
  public struct Times: Codable, Sendable {
    /// The shortest time.
    public let minimum: Double
    /// The median time.
    public let median: Double
    /// The lower end of the median's 95% interval.
    public let low: Double
    /// The upper end of the median's 95% interval.
    public let high: Double

    /// The figures of `samples`; nil if there are none.
    init?(_ samples: [Double]) {
      guard let minimum = samples.min() else { return nil }
      let interval = MedianInterval(samples)
      self.minimum = minimum
      (median, low, high) = (interval.median, interval.low, interval.high)
    }
  }

  /// The bandwidths at the median time, in GB/s.
  public struct Bandwidths: Codable, Sendable {
    /// Bytes over time.
    public let algorithm: Double
    /// What each rank's link carries in one direction; nil if that depends on the algorithm.
    public let bus: Double?

    /// The bandwidths of an operation; nil if it has no bytes.
    public init?(_ operation: CollectiveOperation, ranks: Int, bytes: Int, microseconds: Double) {
      guard bytes > 0, microseconds > 0 else { return nil }
      let algorithm = Double(bytes) / microseconds / 1e3
      self.algorithm = algorithm
      bus = operation.busFactor(ranks: ranks).map { $0 * algorithm }
    }
  }

  /// The operation's name.
  public let operation: String
  /// The number of ranks that took part.
  public let ranks: Int
  /// The bytes that a rank contributes to a sum or a broadcast; for an all-gather and a reduce-scatter, the
  /// bytes of all blocks together.
  public let bytes: Int
  /// The number of channels whose moments were merged; nil for other operations.
  public let channels: Int?
  /// Times between computing, as in a step, from the last rank's arrival to the last rank's end; nil if
  /// there was no window that all ranks began in time.
  public let betweenMicroseconds: Times?
  /// Times in a tight loop: the slowest rank's time for a batch of runs, divided by their number.
  public let tightMicroseconds: Times
  /// Bandwidths at the median time between computing.
  public let betweenGbPerSecond: Bandwidths?
  /// Bandwidths at the median time in the tight loop.
  public let tightGbPerSecond: Bandwidths?
  /// The number of windows between computing that count.
  public let windows: Int
  /// The number of windows that were left out because a rank began late.
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
