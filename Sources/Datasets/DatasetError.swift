public import LockstepFiles

/// Data that cannot be used: where, and what was expected.
public struct DatasetError: ProgramError, Hashable, Sendable {
  /// The file or folder.
  public let path: String
  /// What was found and what was expected.
  public let problem: String

  /// Creates the error.
  public init(_ path: String, _ problem: String) {
    self.path = path
    self.problem = problem
  }

  /// The path and the problem.
  public var description: String { "\(path): \(problem)" }
}
