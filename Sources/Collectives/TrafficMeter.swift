/// A collective that has been issued and has not completed.
public struct OpenCollective: Sendable {
  fileprivate let signature: CollectiveSignature
  fileprivate let number: Int
  fileprivate let issue: UInt64
  fileprivate var returned: UInt64
  /// When a test first found the collective complete, if one did before this rank waited.
  fileprivate var completed: UInt64?
  /// How long this rank was in tests that let the collective make progress, in nanoseconds.
  fileprivate var tested = 0
}

/// Counts and fingerprints a communicator's traffic, and records it if there is a log.
///
/// Backends call it around every collective.
public final class TrafficMeter {
  /// What the communicator is called in messages.
  public var name = EventName("a communicator")
  /// The traffic so far.
  public private(set) var traffic = Traffic()
  /// The collectives issued so far.
  public private(set) var history = CollectiveHistory()
  /// A delay before every collective of one purpose, for checking how the log shows it.
  public var injectedDelay: (purpose: Purpose, nanoseconds: UInt64)?
  /// Whether nothing is counted, timed or recorded.
  ///
  /// A benchmark that times collectives itself sets this. Otherwise it would also measure the meter's two
  /// clock readings per collective. The watchdog sees everything until this is false again as one
  /// collective.
  public var isPaused = false {
    didSet {
      guard isPaused != oldValue else { return }
      if isPaused { beginUncounted(.benchmark) } else { endUncounted() }
    }
  }
  private var log: EventLog?
  private var communicator = 0
  /// Where this rank publishes what it waits for; nil if nobody watches.
  public private(set) var activity: RankActivity?
  private var place = RankActivity.Place()
  /// The collective for which this communicator's next message is a check.
  ///
  /// The watchdog reports it instead of the check.
  var announced: CollectiveSignature?

  /// A meter at zero.
  public init() {}

  /// Whether collectives are recorded.
  public var isRecorded: Bool { log != nil }

  /// Records in `log` from now on.
  public func record(in log: EventLog) {
    self.log = log
    communicator = log.join()
  }

  /// Publishes in `activity` from now on what this rank waits for.
  ///
  /// - Parameters:
  ///   - activity: Where to publish it.
  ///   - identity: A number for the communicator, the same on all its ranks.
  ///   - members: The communicator's ranks, by their numbers in the whole job.
  public func publish(in activity: RankActivity, identity: UInt64, members: [ClosedRange<Int32>]) {
    self.activity = activity
    place = activity.join(identity: identity, members: members)
  }

  /// Notes the beginning of a collective to which this rank gives `elements` elements.
  public func enter(
    _ kind: CollectiveKind, _ elements: Int, of scalar: ScalarKind, root: Int = 0,
    for purpose: Purpose = .control
  ) -> OpenCollective {
    let signature = CollectiveSignature(kind, elements, of: scalar, root: root, for: purpose)
    if isPaused { return OpenCollective(signature: signature, number: 0, issue: 0, returned: 0) }
    if let injectedDelay, injectedDelay.purpose == purpose {
      let start = monotonicNanoseconds()
      while monotonicNanoseconds() - start < injectedDelay.nanoseconds {}
    }
    history.append(signature)
    traffic.collectives += 1
    traffic.bytes += elements * scalar.byteCount
    let now = monotonicNanoseconds()
    activity?.begin(
      announced ?? signature, number: traffic.collectives, on: name, at: place.counted, since: now)
    return OpenCollective(
      signature: signature, number: traffic.collectives, issue: now, returned: now)
  }

  /// Notes the end of a blocking collective.
  public func leave(_ open: OpenCollective) {
    if isPaused { return }
    let now = monotonicNanoseconds()
    activity?.end(at: now)
    block(from: open.issue, to: now)
    record(open, returned: now, waitBegin: now, end: now)
  }

  /// Notes that the call that issued a nonblocking collective has returned.
  public func issued(_ open: inout OpenCollective) {
    if isPaused { return }
    open.returned = monotonicNanoseconds()
    activity?.end(at: open.returned)
    block(from: open.issue, to: open.returned)
  }

  /// Notes that this rank tested, from `start` until now, whether a collective is over.
  public func tested(_ open: inout OpenCollective, since start: UInt64, isOver: Bool) {
    if isPaused { return }
    let now = monotonicNanoseconds()
    block(from: start, to: now)
    open.tested += Int(now - start)
    if isOver && open.completed == nil { open.completed = now }
  }

  /// Notes that this rank begins to wait for a collective that it issued before.
  ///
  /// - Returns: the time at which the wait begins, for ``complete(_:waitedSince:)``.
  public func wait(for open: OpenCollective) -> UInt64 {
    let now = monotonicNanoseconds()
    if !isPaused {
      activity?.begin(open.signature, number: open.number, on: name, at: place.counted, since: now)
    }
    return now
  }

  /// Notes the end of a collective for which this rank has waited since `waitBegin`.
  public func complete(_ open: OpenCollective, waitedSince waitBegin: UInt64) {
    if isPaused { return }
    let now = monotonicNanoseconds()
    activity?.end(at: now)
    block(from: waitBegin, to: now)
    record(
      open, returned: open.returned, waitBegin: waitBegin, end: open.completed ?? now)
  }

  /// Notes that this rank drops a collective whose result nobody wants.
  public func drop(_ open: OpenCollective) { if !isPaused { endUncounted() } }

  /// Notes the beginning of something in which all ranks take part and which is not counted as traffic.
  public func beginUncounted(_ kind: CollectiveKind) {
    guard let activity else { return }
    place.uncountedNumber += 1
    activity.begin(
      CollectiveSignature(kind), number: place.uncountedNumber, on: name, at: place.uncounted,
      since: monotonicNanoseconds())
  }

  /// Notes the end of what ``beginUncounted(_:)`` began.
  public func endUncounted() { activity?.end(at: monotonicNanoseconds()) }

  private func block(from start: UInt64, to end: UInt64) {
    traffic.blockedNanoseconds += Int(end - start)
  }

  private func record(
    _ open: OpenCollective, returned: UInt64, waitBegin: UInt64, end: UInt64
  ) {
    guard let log else { return }
    let signature = open.signature
    log.append(
      Event(
        .collective, signature.purpose, communicator: communicator, number: open.number,
        elements: signature.elements, bytes: signature.elements * signature.scalar.byteCount,
        issue: open.issue, returned: returned, waitBegin: waitBegin, end: end, tested: open.tested))
  }
}
