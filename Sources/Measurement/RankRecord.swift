public import Collectives

/// What one rank recorded, with what brings its clock to rank 0's.
public struct RankRecord: Sendable {
  /// The events, in the order in which they ended.
  public let events: [Event]
  /// This rank's clock less rank 0's, in nanoseconds.
  public let clockOffset: Double
  /// For each communicator, the first rank of its group: groups of one number are told apart by it.
  public let groups: [Int]

  /// Puts a record together.
  public init(events: [Event], clockOffset: Double, groups: [Int]) {
    self.events = events
    self.clockOffset = clockOffset
    self.groups = groups
  }
}
