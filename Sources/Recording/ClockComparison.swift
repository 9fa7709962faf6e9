public import LockstepCollectives

/// The offset of a rank's clock from rank 0's, in nanoseconds, as a line through two readings.
public struct ClockOffset: Hashable, Sendable {
  /// One comparison of the two clocks.
  public struct Reading: Codable, Hashable, Sendable {
    /// This rank's time at the comparison.
    public let time: Double
    /// This rank's clock minus rank 0's.
    public let offset: Double
    /// The largest possible error of the offset: half of the shortest round trip.
    public let bound: Double

    /// Creates a reading.
    public init(time: Double, offset: Double, bound: Double) {
      (self.time, self.offset, self.bound) = (time, offset, bound)
    }

    /// Whether clocks in nanoseconds can show this, since a reading from a file may be anything.
    var isPlausible: Bool {
      let limit = Double(Int64.max)
      return (0...limit).contains(time) && offset.magnitude <= limit && (0...limit).contains(bound)
    }
  }

  private let first: Reading
  private let last: Reading

  /// The line through two readings.
  public init(_ first: Reading, _ last: Reading) { (self.first, self.last) = (first, last) }

  /// The offset as numbers, to send.
  var fields: [Double] { [first, last].flatMap { [$0.time, $0.offset, $0.bound] } }

  /// Reads an offset from its ``fields``.
  init(_ fields: [Double]) {
    let readings = [0, 3].map {
      Reading(time: fields[$0], offset: fields[$0 + 1], bound: fields[$0 + 2])
    }
    self.init(readings[0], readings[1])
  }

  /// The offset between ranks that share a clock.
  public static let none = {
    let reading = Reading(time: 0, offset: 0, bound: 0)
    return ClockOffset(reading, reading)
  }()

  /// The largest possible error of a time.
  public var bound: Double { max(first.bound, last.bound) }

  /// How fast the two clocks drift apart, in nanoseconds per second.
  public var drift: Double {
    last.time > first.time ? (last.offset - first.offset) / (last.time - first.time) * 1e9 : 0
  }

  /// Whether the clocks drift apart by less than a second per second, since readings from a file may be
  /// anything.
  var isPlausible: Bool { drift.magnitude < 1e9 }

  /// Converts a time of this rank's clock to rank 0's clock.
  public func common(_ time: UInt64) -> Double {
    Double(time) - first.offset - drift / 1e9 * (Double(time) - first.time)
  }

  /// The time of this rank's clock when rank 0's shows `common`; the inverse of ``common(_:)``.
  public func local(_ common: Double) -> UInt64 {
    let slope = drift / 1e9
    return UInt64((common + first.offset - slope * first.time) / (1 - slope))
  }
}

/// Compares every rank's clock with rank 0's.
///
/// Ranks on one machine share its clock. Other ranks exchange messages with rank 0. Of many round trips
/// only the shortest counts, and both clocks are taken to be read in its middle (Cristian, 1989).
public final class ClockComparison {
  private let rank: Int
  /// Communicators of rank 0 and one other rank: all of them on rank 0, and its own on each other rank.
  private var pairs: [any Communicator] = []

  /// Prepares the comparison.
  ///
  /// Collective.
  public init(over communicator: any Communicator) throws(CommunicationError) {
    rank = communicator.rank
    let sizes = try communicator.allGather([Int64(communicator.splitByNode().size)])
    guard sizes.contains(where: { $0[0] < communicator.size }) else { return }
    for other in 1..<communicator.size {
      let isMember = rank == 0 || rank == other
      let pair = try communicator.split(color: isMember ? 0 : 1, key: rank)
      if isMember { pairs.append(pair) }
    }
  }

  /// Compares the clocks now.
  ///
  /// Collective. Rank 0 and the ranks of a single machine have nothing to compare.
  public func read() throws(CommunicationError) -> ClockOffset.Reading {
    var reading = ClockOffset.Reading(
      time: Double(monotonicNanoseconds()), offset: 0, bound: 0)
    for pair in pairs {
      let theirs = try Self.read(over: pair)
      if rank != 0 { reading = theirs }
    }
    return reading
  }

  /// How many round trips are made, of which the shortest counts.
  ///
  /// This many take a few milliseconds, and neither rank is interrupted in some of them.
  private static let roundTrips = 200

  /// Returns the other rank's reading on both ranks of `pair`.
  private static func read(over pair: any Communicator) throws(CommunicationError)
    -> ClockOffset.Reading
  {
    var best = [0.0, 0.0, Double.infinity]
    for _ in 0..<roundTrips {
      var (ping, pong) = ([0.0], [0.0])
      let start = monotonicNanoseconds()
      try pair.broadcast(&ping, from: 0)
      if pair.rank == 1 { pong[0] = Double(monotonicNanoseconds()) }
      try pair.broadcast(&pong, from: 1)
      let end = monotonicNanoseconds()
      guard pair.rank == 0, Double(end - start) / 2 < best[2] else { continue }
      best = [pong[0], pong[0] - (Double(start) + Double(end)) / 2, Double(end - start) / 2]
    }
    try pair.broadcast(&best, from: 0)
    return ClockOffset.Reading(time: best[0], offset: best[1], bound: best[2])
  }
}
