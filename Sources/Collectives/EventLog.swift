import LockstepTensors

/// A ring buffer of what one rank did, and when.
///
/// Its memory is allocated once, so recording an event costs two clock reads and one write.
public final class EventLog {
  private let ring: Storage<Event>
  private var written = 0
  private var communicators = 0
  private var lastMark: UInt64 = 0

  /// A log of the last `capacity` events; the default takes 4.5 MiB.
  public init(capacity: Int = 1 << 16) {
    precondition(capacity > 0)
    let nothing = Event(
      .segment, .control, issue: 0, returned: 0, waitBegin: 0, end: 0)
    // Filling it now touches every page, so that no step has to take these page faults.
    ring = Storage(count: capacity, filledWith: nothing)
  }

  /// How many events are kept.
  public var capacity: Int { ring.count }

  /// How many events were recorded, including those already overwritten.
  public var count: Int { written }

  /// The events from number `first` on, oldest first, without those already overwritten.
  public func events(from first: Int = 0) -> [Event] {
    (max(first, written - ring.count)..<max(written, first)).map { ring[$0 % ring.count] }
  }

  /// The events from number `first` on as bytes, ``Event/byteCount`` each, without those already
  /// overwritten.
  public func bytes(from first: Int) -> [UInt8] {
    let range = max(first, written - ring.count)..<max(written, first)
    guard !range.isEmpty else { return [] }
    let (begin, end) = (range.lowerBound % ring.count, range.upperBound % ring.count)
    return begin < end
      ? ring.copyBytes(begin..<end)
      : ring.copyBytes(begin..<ring.count) + ring.copyBytes(0..<end)
  }

  /// Adds a communicator that records here, and returns its number.
  func join() -> Int {
    defer { communicators += 1 }
    return communicators
  }

  func append(_ event: Event) {
    ring[written % ring.count] = event
    written += 1
  }

  /// Begins a segment.
  public func beginSegment() { lastMark = monotonicNanoseconds() }

  /// Ends the segment since the last mark, attributes it to a layer's pass, and begins the next one.
  public func mark(_ layer: EventName, _ pass: Pass, isNorm: Bool = false) {
    let now = monotonicNanoseconds()
    append(
      Event(
        .segment, .computing(layer, pass, isNorm: isNorm), issue: lastMark, returned: now,
        waitBegin: now,
        end: now))
    lastMark = now
  }

  /// Records a whole step that ended at `end`, or ends now.
  ///
  /// The bits of `marks` say what disturbed the step on this rank.
  public func step(_ number: Int, from start: UInt64, to end: UInt64? = nil, marks: UInt8 = 0) {
    let end = end ?? monotonicNanoseconds()
    append(
      Event(
        .step, .control, number: number, elements: Int(marks), issue: start, returned: end,
        waitBegin: end, end: end))
  }
}
