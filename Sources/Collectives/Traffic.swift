/// What went through a communicator, counted where it happens.
public struct Traffic: Hashable, Sendable {
  /// How many collectives were issued.
  public var collectives = 0
  /// The bytes that this rank gave to them: elements times their size.
  public var bytes = 0
  /// How long this rank was inside them, or waited for them, in nanoseconds.
  public var blockedNanoseconds = 0

  /// No traffic.
  public init() {}

  /// What came between `earlier` and now.
  public static func - (now: Traffic, earlier: Traffic) -> Traffic {
    var difference = now
    difference.collectives -= earlier.collectives
    difference.bytes -= earlier.bytes
    difference.blockedNanoseconds -= earlier.blockedNanoseconds
    return difference
  }

  /// Both together.
  public static func + (a: Traffic, b: Traffic) -> Traffic {
    var sum = a
    sum.collectives += b.collectives
    sum.bytes += b.bytes
    sum.blockedNanoseconds += b.blockedNanoseconds
    return sum
  }
}
