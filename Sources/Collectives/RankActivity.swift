import Synchronization

/// What this process's main thread is doing, published by its communicators for a watching thread.
///
/// A rank waits while it is inside a blocking collective, or waits for one that it issued before. It
/// does not wait for a collective that is in flight while it computes.
public final class RankActivity: Sendable {
  /// The indices under which a communicator publishes what is issued on it.
  struct Place {
    /// For collectives that are counted.
    var counted = 0
    /// For operations that are not counted.
    var uncounted = 0
    var uncountedNumber = 0
  }

  /// A collective that ranks wait for together, given by its communicator and its number there.
  public struct Meeting: Hashable, Sendable {
    /// The communicator, by a number that is the same on all its ranks.
    public let identity: UInt64
    /// The collective's number on the communicator.
    public let number: Int

    /// The collective with a number on a communicator.
    public init(identity: UInt64, number: Int) { (self.identity, self.number) = (identity, number) }
  }

  /// The activity at one moment.
  public struct Moment: Sendable {
    /// The step, from 1; 0 before the first.
    public fileprivate(set) var step = 0
    /// Whether the rank waits rather than computes.
    public fileprivate(set) var isWaiting = false
    /// A number that is different for every wait.
    public fileprivate(set) var ticket = 0
    /// Since when it waits or computes, in nanoseconds.
    public fileprivate(set) var since: UInt64 = 0
    /// What it waits for, or waited for last; nil before the first.
    public fileprivate(set) var signature: CollectiveSignature?
    fileprivate var number = 0
    fileprivate var name = EventName("a communicator")
    fileprivate var place = 0
    fileprivate var pauses = 0
    /// Whether long waits are expected, because other ranks have work in which this rank has no part.
    public var isExempt: Bool { pauses > 0 }
    /// How long a rank may wait for a collective, in nanoseconds.
    public fileprivate(set) var limit: UInt64 = 60_000_000_000
    fileprivate var identities: [UInt64] = []
    fileprivate var groups: [[ClosedRange<Int32>]] = []
    /// The number of the last collective issued on each communicator.
    fileprivate var issued: [Int] = []
  }

  private let moment = Mutex(Moment())

  /// The activity of a rank that has done nothing yet.
  public init() {}

  /// What the rank is doing now.
  public var now: Moment { moment.withLock { $0 } }

  /// How long a rank may wait for a collective, in seconds.
  public var limitSeconds: Double {
    get { moment.withLock { Double($0.limit) / 1e9 } }
    set { moment.withLock { $0.limit = UInt64(newValue * 1e9) } }
  }

  /// Notes that a step begins.
  public func beginStep(_ number: Int) { moment.withLock { $0.step = number } }

  /// Runs `body`, in which ranks may wait long for the work of others.
  public func exempting<Result>(_ body: () throws -> Result) rethrows -> Result {
    moment.withLock { $0.pauses += 1 }
    defer {
      moment.withLock {
        $0.pauses -= 1
        // The time waited until now does not count.
        $0.ticket += 1
        $0.since = monotonicNanoseconds()
      }
    }
    return try body()
  }

  /// A number for a communicator made from another, the same on all its ranks.
  ///
  /// - Parameters:
  ///   - parent: The number of the communicator that it is made from.
  ///   - ordinal: How many communicators were made from that one before.
  ///   - members: The ranks of the new communicator.
  /// - Returns: the number of the new communicator.
  public static func identity(
    madeFrom parent: UInt64, ordinal: Int, members: [ClosedRange<Int32>]
  ) -> UInt64 {
    members.reduce(Fingerprint.mixed(parent, UInt64(ordinal) + 2)) { hash, range in
      let ends = (UInt32(bitPattern: range.lowerBound), UInt32(bitPattern: range.upperBound))
      return Fingerprint.mixed(hash, UInt64(ends.0) << 32 | UInt64(ends.1))
    }
  }

  /// Notes that this rank waits for all ranks to end MPI together.
  ///
  /// This is published on the first communicator that joined.
  public func beginFinish() {
    begin(
      CollectiveSignature(.finish), number: .max, on: EventName("world"), at: 1,
      since: monotonicNanoseconds())
  }

  func join(identity: UInt64, members: [ClosedRange<Int32>]) -> Place {
    moment.withLock { moment in
      let first = moment.identities.count
      // Operations that are not counted are numbered separately.
      moment.identities += [identity, Fingerprint.mixed(identity, 1)]
      moment.groups += [members, members]
      moment.issued += [0, 0]
      return Place(counted: first, uncounted: first + 1)
    }
  }

  func begin(
    _ signature: CollectiveSignature, number: Int, on name: EventName, at place: Int, since: UInt64
  ) {
    moment.withLock { moment in
      moment.isWaiting = true
      moment.ticket += 1
      moment.since = since
      (moment.signature, moment.number, moment.name) = (signature, number, name)
      moment.place = place
      if moment.issued[place] < number { moment.issued[place] = number }
    }
  }

  func end(at now: UInt64) {
    moment.withLock { moment in
      moment.isWaiting = false
      moment.since = now
    }
  }
}

extension RankActivity.Moment {
  /// The collective that the rank waits for, or waited for last, in words; nil before the first.
  public var collective: String? {
    signature?.text(number: number, on: name.text)
  }

  /// The collective that the rank waits for; nil if it computes.
  public var meeting: RankActivity.Meeting? {
    isWaiting ? RankActivity.Meeting(identity: identities[place], number: number) : nil
  }

  /// The ranks that have to reach the collective that this one waits for.
  public var members: [ClosedRange<Int32>] { isWaiting ? groups[place] : [] }

  /// A hash of what the rank waits for, equal on all ranks that wait for the same collective.
  public var signatureHash: UInt64 {
    var fingerprint = Fingerprint()
    if let signature { fingerprint.add(signature, number: number) }
    return fingerprint.value
  }

  /// The last collective on each communicator on which one was issued.
  public var lastMeetings: [RankActivity.Meeting] {
    zip(identities, issued).filter { $1 > 0 }.map {
      RankActivity.Meeting(identity: $0, number: $1)
    }
  }

  /// Where the rank is, in words, after waiting or computing for that long.
  public func text(after nanoseconds: UInt64) -> String {
    let tenths = nanoseconds / 100_000_000
    let seconds = "\(tenths / 10).\(tenths % 10) s"
    let place = step > 0 ? "step \(step), " : ""
    guard let collective else { return "\(place)computing, before any collective" }
    return isWaiting
      ? "\(place)has waited for \(seconds) in \(collective)"
      : "\(place)computing for \(seconds), since \(collective)"
  }
}
