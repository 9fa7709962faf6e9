/// The last collectives that one rank issued on one communicator, and the fingerprint of all of them.
public struct CollectiveHistory: Sendable {
  /// How many collectives are kept, enough for one step of most networks.
  public static let capacity = 256

  /// The fingerprint of all collectives so far.
  public private(set) var fingerprint = Fingerprint()
  /// How many collectives there were.
  public private(set) var count = 0
  private var recent: [CollectiveSignature] = []

  /// An empty history.
  public init() {}

  /// Adds the next collective.
  public mutating func append(_ collective: CollectiveSignature) {
    count += 1
    fingerprint.add(collective, number: count)
    if recent.count < Self.capacity {
      if recent.isEmpty { recent.reserveCapacity(Self.capacity) }
      recent.append(collective)
    } else {
      recent[(count - 1) % Self.capacity] = collective
    }
  }

  /// The numbers of the kept collectives, counted from 1; nil before the first.
  public var numbers: ClosedRange<Int>? { count == 0 ? nil : count - recent.count + 1...count }

  /// The kept collective with this number.
  public subscript(number: Int) -> CollectiveSignature { recent[(number - 1) % Self.capacity] }
}
