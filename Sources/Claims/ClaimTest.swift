import LockstepCollectives

/// A test that looks at a claim again and again until it is decided.
public struct ClaimTest {
  private let claim: Claim
  /// The claim's place in the list and its name, for messages.
  public let place: String
  private var laboratory: Laboratory
  /// What the last look found.
  public private(set) var finding: Finding?

  /// The largest number of looks; more would take longer than anybody waits.
  private static let mostLooks = 12

  /// Creates a test of `claim` in its own laboratory.
  public init(_ claim: Claim, _ place: String, _ laboratory: () -> Laboratory) {
    (self.claim, self.place) = (claim, place)
    self.laboratory = laboratory()
  }

  /// How often the test has looked at the claim.
  public var looks: Int { finding?.looks ?? 0 }

  /// Whether a verdict was reached.
  public var isDecided: Bool { finding.map { $0.verdict != .undecided } ?? false }

  /// Whether more repeats could decide the claim, which they cannot if chance plays no part.
  public var canGoOn: Bool { finding?.smallestEffect != nil && looks < Self.mostLooks }

  /// Roughly how long the next look takes, in seconds; nil before the first.
  ///
  /// A look has as many new repeats as all looks before it together.
  public var estimate: Double? { finding.map { max(1, $0.seconds) } }

  /// Looks at the claim once more, with twice as many repeats.
  ///
  /// Collective.
  public mutating func look() throws {
    laboratory.look = looks + 1
    // Every rank measures its own times, so all ranks take rank 0's finding.
    var next = try laboratory.sharing(claim.run(in: laboratory))
    next.seconds += finding?.seconds ?? 0
    finding = next
  }
}
