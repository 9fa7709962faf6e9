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
