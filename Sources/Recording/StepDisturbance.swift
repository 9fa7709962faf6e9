/// What disturbed a step from outside, so that its time says nothing about the program.
public struct StepDisturbance: Hashable, Sendable {
  /// The causes.
  public struct Causes: OptionSet, Hashable, Sendable {
    /// One bit for each cause.
    public let rawValue: UInt8

    /// Causes from their bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Another process took a rank's core: the rank's main thread was switched out against its will.
    public static let preempted = Causes(rawValue: 1)
    /// The hypervisor took a core for something else.
    public static let stolen = Causes(rawValue: 2)
    /// Pages were read from disk, or far more were touched for the first time than in the step before.
    public static let faulted = Causes(rawValue: 4)
  }

  /// The causes; empty if the step was not disturbed.
  public let causes: Causes
  /// The disturbed rank; nil if there was none, or if there were several.
  public let rank: Int?

  /// Describes a disturbance on `rank`.
  public init(_ causes: Causes, rank: Int? = nil) {
    (self.causes, self.rank) = (causes, causes.isEmpty ? nil : rank)
  }

  /// No disturbance.
  public static let none = StepDisturbance([])

  /// Whether the step was not disturbed.
  public var isNone: Bool { causes.isEmpty }

  /// Both disturbances together.
  public func union(_ other: StepDisturbance) -> StepDisturbance {
    if isNone { return other }
    if other.isNone { return self }
    return StepDisturbance(causes.union(other.causes), rank: rank == other.rank ? rank : nil)
  }
}

extension StepDisturbance: Codable {
  private enum CodingKeys: String, CodingKey { case preempted, stolen, faulted, rank }

  /// Decodes `{"preempted": true, "rank": 1}`.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    var causes: Causes = []
    if try values.decodeIfPresent(Bool.self, forKey: .preempted) ?? false {
      causes.insert(.preempted)
    }
    if try values.decodeIfPresent(Bool.self, forKey: .stolen) ?? false { causes.insert(.stolen) }
    if try values.decodeIfPresent(Bool.self, forKey: .faulted) ?? false { causes.insert(.faulted) }
    self.init(causes, rank: try values.decodeIfPresent(Int.self, forKey: .rank))
  }

  /// Encodes the causes that apply, and the rank.
  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    if causes.contains(.preempted) { try values.encode(true, forKey: .preempted) }
    if causes.contains(.stolen) { try values.encode(true, forKey: .stolen) }
    if causes.contains(.faulted) { try values.encode(true, forKey: .faulted) }
    try values.encodeIfPresent(rank, forKey: .rank)
  }
}
