public import LockstepCollectives
public import LockstepFiles

/// An error that at least one rank found, and that all ranks throw.
public struct AgreedError: ProgramError, Sendable {
  /// Every rank throws it.
  public var isSharedByAllRanks: Bool { true }

  /// What was wrong, in the words of the first rank that found it.
  public let description: String
  /// That rank's exit status.
  public let exitStatus: Int32

  /// Creates an error that all ranks throw.
  public init(description: String, exitStatus: Int32 = ExitStatus.badInput) {
    (self.description, self.exitStatus) = (description, exitStatus)
  }
}

/// Runs `body` on every rank, and throws on all of them if it throws on any, so that none goes on
/// alone and none is left waiting.
///
/// `body` must not communicate. The message is that of the first rank that failed. It names this
/// rank, unless all ranks failed with the same message.
public func agreeing<Result>(
  over communicator: any Communicator, _ body: () throws -> Result
) throws -> Result {
  var result: Result?
  var (message, status) = ("", ExitStatus.badInput)
  do {
    result = try body()
  } catch {
    message = "\(error)"
    if let error = error as? any ProgramError { status = error.exitStatus }
  }
  let messages = try communicator.allGather(message)
  guard let first = messages.firstIndex(where: { !$0.isEmpty }) else {
    guard let result else { preconditionFailure("neither a result nor a message") }
    return result
  }
  let all = messages.allSatisfy { $0 == messages[first] }
  let statuses = try communicator.allGather([Int64(status)])
  throw AgreedError(
    description: all ? messages[first] : "rank \(first): \(messages[first])",
    exitStatus: Int32(statuses[first][0]))
}
