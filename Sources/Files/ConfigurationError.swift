/// A wrong configuration, option or argument: where, and what was expected.
public struct ConfigurationError: ProgramError, Hashable, Sendable {
  /// `file:line:column`, or the option that it came from.
  public let place: String
  /// What was found and what was expected.
  public let problem: String

  /// Creates the error.
  public init(_ place: String, _ problem: String) {
    self.place = place
    self.problem = problem
  }

  /// The place and the problem.
  public var description: String { "\(place): \(problem)" }

  /// True, because every rank reads the same configuration.
  public var isSharedByAllRanks: Bool { true }
}
