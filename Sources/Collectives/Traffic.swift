/// What went through a communicator, counted where it happens.
public struct Traffic: Hashable, Sendable {
  /// How many collectives were issued.
  public var collectives = 0
  /// The bytes that this rank gave to them: elements times their size.
  public var bytes = 0
  /// How long this rank was inside them, or waited for them, in nanoseconds.
  public var blockedNanoseconds = 0
  /// The part of it that was for statistics of the backward pass.
  public var blockedBackwardNanoseconds = 0
  /// The part of ``blockedNanoseconds`` that went into tests which let a collective make progress while
  /// this rank computed: no waiting, but work for the library.
  public var testedNanoseconds = 0

  /// No traffic.
  public init() {}

  /// What came between `earlier` and now.
  public static func - (now: Traffic, earlier: Traffic) -> Traffic {
    var difference = now
    difference.collectives -= earlier.collectives
    difference.bytes -= earlier.bytes
    difference.blockedNanoseconds -= earlier.blockedNanoseconds
    difference.blockedBackwardNanoseconds -= earlier.blockedBackwardNanoseconds
    difference.testedNanoseconds -= earlier.testedNanoseconds
    return difference
  }

  /// Both together.
  public static func + (a: Traffic, b: Traffic) -> Traffic {
    var sum = a
    sum.collectives += b.collectives
    sum.bytes += b.bytes
    sum.blockedNanoseconds += b.blockedNanoseconds
    sum.blockedBackwardNanoseconds += b.blockedBackwardNanoseconds
    sum.testedNanoseconds += b.testedNanoseconds
    return sum
  }
}

/// A collective that has been issued and is not over.
public struct OpenCollective: Sendable {
  fileprivate let purpose: Purpose
  fileprivate let number: Int
  fileprivate let elements: Int
  fileprivate let bytes: Int
  fileprivate let issue: UInt64
  fileprivate var returned: UInt64
  /// When this rank first knew that it was over, if that was before it waited.
  fileprivate var completed: UInt64?
  /// How long this rank was in tests that let it make progress, in nanoseconds.
  fileprivate var tested = 0
}

/// Counts a communicator's traffic, and records it where there is a log; the backends call it around
/// every collective.
public final class TrafficMeter {
  /// What was counted so far.
  public private(set) var traffic = Traffic()
  /// What the next collectives are for; whoever issues them says it before.
  public var purpose = Purpose.control
  /// A wait that is put before every collective of one purpose, to check what the log shows of it.
  public var injectedDelay: (purpose: Purpose, nanoseconds: UInt64)?
  /// Whether nothing is counted, timed or recorded: for a benchmark that does so itself, and would
  /// measure the meter's two readings of the clock with every collective.
  public var isPaused = false
  private var log: EventLog?
  private var communicator = 0

  /// A meter at zero.
  public init() {}

  /// Records in `log` from now on.
  public func record(in log: EventLog) {
    self.log = log
    communicator = log.join()
  }

  /// Notes that a collective begins with `elements` of this rank's, each of so many bytes.
  public func enter(_ elements: Int, ofBytes size: Int) -> OpenCollective {
    if isPaused {
      return OpenCollective(
        purpose: .control, number: 0, elements: 0, bytes: 0, issue: 0, returned: 0)
    }
    if let injectedDelay, injectedDelay.purpose == purpose {
      let start = monotonicNanoseconds()
      while monotonicNanoseconds() - start < injectedDelay.nanoseconds {}
    }
    traffic.collectives += 1
    traffic.bytes += elements * size
    let now = monotonicNanoseconds()
    return OpenCollective(
      purpose: purpose, number: traffic.collectives, elements: elements, bytes: elements * size,
      issue: now, returned: now)
  }

  /// Notes that a blocking collective is over.
  public func leave(_ open: OpenCollective) {
    if isPaused { return }
    let now = monotonicNanoseconds()
    block(open, from: open.issue, to: now)
    record(open, returned: now, waitBegin: now, end: now)
  }

  /// Notes that the call which issued a collective came back, while the collective goes on.
  public func issued(_ open: inout OpenCollective) {
    if isPaused { return }
    open.returned = monotonicNanoseconds()
    block(open, from: open.issue, to: open.returned)
  }

  /// Notes that this rank asked, from `start` to now, whether a collective is over.
  public func tested(_ open: inout OpenCollective, since start: UInt64, isOver: Bool) {
    if isPaused { return }
    let now = monotonicNanoseconds()
    block(open, from: start, to: now)
    open.tested += Int(now - start)
    traffic.testedNanoseconds += Int(now - start)
    if isOver && open.completed == nil { open.completed = now }
  }

  private func block(_ open: OpenCollective, from start: UInt64, to end: UInt64) {
    traffic.blockedNanoseconds += Int(end - start)
    if case .statistics(_, .backward) = open.purpose {
      traffic.blockedBackwardNanoseconds += Int(end - start)
    }
  }

  /// Notes that a collective is over, for which this rank has waited since `waitBegin`.
  public func complete(_ open: OpenCollective, waitedSince waitBegin: UInt64) {
    if isPaused { return }
    let now = monotonicNanoseconds()
    block(open, from: waitBegin, to: now)
    record(
      open, returned: open.returned, waitBegin: waitBegin, end: open.completed ?? now)
  }

  private func record(
    _ open: OpenCollective, returned: UInt64, waitBegin: UInt64, end: UInt64
  ) {
    log?.append(
      Event(
        .collective, open.purpose, communicator: communicator, number: open.number,
        elements: open.elements, bytes: open.bytes, issue: open.issue, returned: returned,
        waitBegin: waitBegin, end: end, tested: open.tested))
  }
}
