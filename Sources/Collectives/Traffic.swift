/// What one rank gave to a communicator's collectives, and how long they blocked it.
public struct Traffic: Hashable, Sendable {
  /// How many collectives were issued.
  public var collectives = 0
  /// The bytes that this rank gave to them: the number of elements times their size.
  public var bytes = 0
  /// How long this rank was inside collective calls or waited for collectives, in nanoseconds.
  public var blockedNanoseconds = 0

  /// ``blockedNanoseconds`` in milliseconds.
  public var blockedMilliseconds: Double { Double(blockedNanoseconds) / 1e6 }

  /// No traffic.
  public init() {}

  /// The traffic between `earlier` and `now`.
  public static func - (now: Traffic, earlier: Traffic) -> Traffic {
    var difference = now
    difference.collectives -= earlier.collectives
    difference.bytes -= earlier.bytes
    difference.blockedNanoseconds -= earlier.blockedNanoseconds
    return difference
  }

  /// The traffic of both together.
  public static func + (a: Traffic, b: Traffic) -> Traffic {
    var sum = a
    sum.collectives += b.collectives
    sum.bytes += b.bytes
    sum.blockedNanoseconds += b.blockedNanoseconds
    return sum
  }
}

extension Traffic: Codable {
  private enum CodingKeys: String, CodingKey {
    case collectives, bytes
    case blockedMilliseconds = "blocked_ms"
  }

  /// Decodes what ``encode(to:)`` wrote.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    collectives = try container.decode(Int.self, forKey: .collectives)
    bytes = try container.decode(Int.self, forKey: .bytes)
    let milliseconds = try container.decode(Double.self, forKey: .blockedMilliseconds)
    blockedNanoseconds = Int(exactly: (milliseconds * 1e6).rounded()) ?? .max
  }

  /// Encodes `collectives`, `bytes` and `blockedMilliseconds`.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(collectives, forKey: .collectives)
    try container.encode(bytes, forKey: .bytes)
    try container.encode(blockedMilliseconds, forKey: .blockedMilliseconds)
  }
}
