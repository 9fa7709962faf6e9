public import LockstepRecording

/// One rank's time in one collective, by cause and by effect, in nanoseconds.
///
/// By cause, the time splits into the wait for the last rank to arrive (skew) and the time after that
/// (transfer). By effect, it splits into time in which this rank computed (in flight) and time in which
/// it was blocked (exposed). The blocked time before the last arrival is exposed skew, and the rest is
/// exposed transfer or spent in tests.
public struct CollectiveSplit: Hashable, Sendable {
  /// From this rank's arrival to the last rank's.
  public let skew: Double
  /// From the last arrival to the end.
  public let transfer: Double
  /// Blocked before the last arrival.
  public let exposedSkew: Double
  /// Blocked after the last arrival.
  public let exposedTransfer: Double
  /// The part of the issuing call that lay before the last arrival.
  public let skewOfCall: Double
  /// In tests that let the collective make progress while this rank computed.
  public let tested: Double

  /// Blocked, tests included.
  public var exposed: Double { exposedSkew + exposedTransfer + tested }

  /// In flight while this rank computed.
  public var inFlight: Double { skew + transfer - exposed }

  /// Splits a collective that the last rank issued at `lastArrival`.
  public init(_ entry: RankRecord.Entry, lastArrival: Double) {
    // The clocks' error can put the last arrival after the end.
    let cut = min(max(lastArrival, entry.issue), entry.end)
    skew = cut - entry.issue
    transfer = entry.end - cut
    let blocked = [(entry.issue, entry.returned), (entry.waitBegin, entry.end)]
    exposedSkew = blocked.reduce(0) { $0 + max(0, min($1.1, cut) - $1.0) }
    skewOfCall = max(0, min(entry.returned, cut) - entry.issue)
    tested = entry.tested
    exposedTransfer = blocked.reduce(0) { $0 + max(0, $1.1 - max($1.0, cut)) }
  }
}
