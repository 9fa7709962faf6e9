import LockstepCollectives

/// A claim that is looked at until it is decided.
public struct ClaimTest {
  private let claim: Claim
  /// Which claim it is, in messages.
  public let place: String
  private var laboratory: Laboratory
  /// What the last look found.
  public private(set) var finding: Finding?

  /// More looks than these take longer than anybody waits.
  private static let mostLooks = 12

  /// A test of `claim` in a laboratory of its own.
  public init(_ claim: Claim, _ place: String, _ laboratory: () -> Laboratory) {
    (self.claim, self.place) = (claim, place)
    self.laboratory = laboratory()
  }

  /// How often it was looked at.
  public var looks: Int { finding?.looks ?? 0 }

  /// Whether a verdict was reached.
  public var isDecided: Bool { finding.map { $0.verdict != .undecided } ?? false }

  /// Whether more repeats can decide it: not where chance plays no part.
  public var canGoOn: Bool { finding?.smallestEffect != nil && looks < Self.mostLooks }

  /// About how long the next look takes, in seconds; nil before the first.
  ///
  /// It has as many new repeats as all before.
  public var estimate: Double? { finding.map { max(1, $0.seconds) } }

  /// Looks at it once more, with twice as many repeats.
  ///
  /// Collective.
  public mutating func look() throws {
    laboratory.look = looks + 1
    // Ranks measure times of their own: rank 0's finding is all ranks'.
    var next = try laboratory.sharing(claim.run(in: laboratory))
    next.seconds += finding?.seconds ?? 0
    finding = next
  }
}
