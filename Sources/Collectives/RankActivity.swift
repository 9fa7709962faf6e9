import Synchronization

/// What this process's main thread is doing, said by the communicators it uses, for a thread that
/// watches it.
///
/// A rank waits from when it enters a blocking collective, or begins to wait for one that it issued
/// before. One that is in flight while the rank computes is not waited for.
public final class RankActivity: Sendable {
  /// Where a communicator says what is issued on it.
  struct Place {
    /// For collectives that are counted.
    var counted = 0
    /// For what is not counted.
    var uncounted = 0
    var uncountedNumber = 0
  }

  /// What ranks wait for together: a collective by its communicator and its number there.
  public struct Meeting: Hashable, Sendable {
    /// The communicator, by a number that is the same on all its ranks.
    public let identity: UInt64
    /// The number on it.
    public let number: Int

    /// The collective with a number on a communicator.
    public init(identity: UInt64, number: Int) { (self.identity, self.number) = (identity, number) }
  }

  /// The activity at one moment.
  public struct Moment: Sendable {
    /// The step, from 1; 0 before the first.
    public fileprivate(set) var step = 0
    /// Whether the rank waits; else it computes.
    public fileprivate(set) var isWaiting = false
    /// A number that every wait has to itself.
    public fileprivate(set) var ticket = 0
    /// Since when it waits or computes, in nanoseconds.
    public fileprivate(set) var since: UInt64 = 0
    /// What it waits for, or waited for last; nil before the first.
    public fileprivate(set) var signature: CollectiveSignature?
    fileprivate var number = 0
    fileprivate var name = EventName("a communicator")
    fileprivate var place = 0
    fileprivate var pauses = 0
    /// Whether long waits are right now, since others have work that this rank has no part in.
    public var isExempt: Bool { pauses > 0 }
    /// How long a collective may be waited for.
    public fileprivate(set) var limit: UInt64 = 60_000_000_000
    fileprivate var identities: [UInt64] = []
    fileprivate var groups: [[ClosedRange<Int32>]] = []
    /// The number of the last collective issued on each communicator.
    fileprivate var issued: [Int] = []
  }

  private let moment = Mutex(Moment())

  /// An activity before its beginning.
  public init() {}

  /// What the rank is doing now.
  public var now: Moment { moment.withLock { $0 } }

  /// How long a collective may be waited for, in seconds.
  public var limitSeconds: Double {
    get { moment.withLock { Double($0.limit) / 1e9 } }
    set { moment.withLock { $0.limit = UInt64(newValue * 1e9) } }
  }

  /// Says that a step begins.
  public func beginStep(_ number: Int) { moment.withLock { $0.step = number } }

  /// Runs `body`, in which waits may be long: ranks wait for others' work.
  public func exempting<Result>(_ body: () throws -> Result) rethrows -> Result {
    moment.withLock { $0.pauses += 1 }
    defer {
      moment.withLock {
        $0.pauses -= 1
        // What was waited for until now does not count.
        $0.ticket += 1
        $0.since = monotonicNanoseconds()
      }
    }
    return try body()
  }

  /// Makes a number for a communicator that is made from another, the same on all its ranks.
  ///
  /// - Parameters:
  ///   - parent: The other's number.
  ///   - ordinal: How many were made from it before.
  ///   - members: The ranks of the new one.
  /// - Returns: the number of the new one.
  public static func identity(
    madeFrom parent: UInt64, ordinal: Int, members: [ClosedRange<Int32>]
  ) -> UInt64 {
    members.reduce(Fingerprint.mixed(parent, UInt64(ordinal) + 2)) { hash, range in
      let ends = (UInt32(bitPattern: range.lowerBound), UInt32(bitPattern: range.upperBound))
      return Fingerprint.mixed(hash, UInt64(ends.0) << 32 | UInt64(ends.1))
    }
  }

  /// Says that this rank ends, to which all have to come; on the first communicator that joined.
  public func beginFinish() {
    begin(
      CollectiveSignature(.finish), number: .max, on: EventName("world"), at: 1,
      since: monotonicNanoseconds())
  }

  func join(identity: UInt64, members: [ClosedRange<Int32>]) -> Place {
    moment.withLock { moment in
      let first = moment.identities.count
      // What is not counted has numbers of its own.
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

  /// The collective that the rank waits for; nil where it computes.
  public var meeting: RankActivity.Meeting? {
    isWaiting ? RankActivity.Meeting(identity: identities[place], number: number) : nil
  }

  /// The ranks that have to come to what this one waits for.
  public var members: [ClosedRange<Int32>] { isWaiting ? groups[place] : [] }

  /// A number for what it waits for, the same on all ranks that wait for the same.
  public var signatureHash: UInt64 {
    var fingerprint = Fingerprint()
    if let signature { fingerprint.add(signature, number: number) }
    return fingerprint.value
  }

  /// The communicators that something was issued on, with the number of the last of it.
  public var lastMeetings: [RankActivity.Meeting] {
    zip(identities, issued).filter { $1 > 0 }.map {
      RankActivity.Meeting(identity: $0, number: $1)
    }
  }

  /// Where the rank is, in words, after that long of waiting or computing.
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
