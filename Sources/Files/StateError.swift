/// State that does not fit the model it is meant for, or a file without state.
public struct StateError: ProgramError, Hashable, Sendable {
  /// Every rank throws it.
  public var isSharedByAllRanks: Bool { true }

  /// What was found and what was expected.
  public let description: String

  /// Describes what was found and what was expected.
  public init(description: String) { self.description = description }
}
