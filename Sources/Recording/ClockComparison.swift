public import LockstepCollectives

/// What a rank's clock shows less what rank 0's shows, in nanoseconds, as a line through two readings.
public struct ClockOffset: Hashable, Sendable {
  /// One comparison of the two clocks.
  public struct Reading: Codable, Hashable, Sendable {
    /// This rank's time of it.
    public let time: Double
    /// This rank's clock less rank 0's.
    public let offset: Double
    /// The most that the offset can be wrong by: half of the shortest round trip.
    public let bound: Double

    /// Puts a reading together.
    public init(time: Double, offset: Double, bound: Double) {
      (self.time, self.offset, self.bound) = (time, offset, bound)
    }

    /// Whether clocks of nanoseconds can have shown this: a reading from a file may say anything.
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

  /// The offset of ``fields``.
  init(_ fields: [Double]) {
    let readings = [0, 3].map {
      Reading(time: fields[$0], offset: fields[$0 + 1], bound: fields[$0 + 2])
    }
    self.init(readings[0], readings[1])
  }

  /// One clock.
  public static let none = {
    let reading = Reading(time: 0, offset: 0, bound: 0)
    return ClockOffset(reading, reading)
  }()

  /// The most that a time may be wrong by.
  public var bound: Double { max(first.bound, last.bound) }

  /// How the two clocks drift apart, in nanoseconds a second.
  public var drift: Double {
    last.time > first.time ? (last.offset - first.offset) / (last.time - first.time) * 1e9 : 0
  }

  /// Whether the clocks drift apart by less than a second a second: a reading from a file may say
  /// anything.
  var isPlausible: Bool { drift.magnitude < 1e9 }

  /// A time of this rank's clock on rank 0's.
  public func common(_ time: UInt64) -> Double {
    Double(time) - first.offset - drift / 1e9 * (Double(time) - first.time)
  }

  /// The time of this rank's clock when rank 0's shows `common`: ``common(_:)`` the other way.
  public func local(_ common: Double) -> UInt64 {
    let slope = drift / 1e9
    return UInt64((common + first.offset - slope * first.time) / (1 - slope))
  }
}

/// Compares every rank's clock with rank 0's.
///
/// Ranks of one machine share its clock. Others exchange messages with rank 0, and of many round trips
/// the shortest counts, in whose middle both clocks are read (Cristian, 1989).
public final class ClockComparison {
  private let rank: Int
  /// The communicator of rank 0 and one other rank, for each other rank on rank 0, and on the other.
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

  /// The shortest one counts: so many take a few milliseconds, and some of them meet neither rank interrupted.
  private static let roundTrips = 200

  /// The other rank's reading, on both.
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
