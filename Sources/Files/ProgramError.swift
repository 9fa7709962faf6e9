/// An error that says with which exit status it ends the program.
public protocol ProgramError: Error, CustomStringConvertible {
  /// The exit status, one of ``ExitStatus``.
  var exitStatus: Int32 { get }
  /// Whether all ranks throw it at the same place, so that each may end by itself.
  var isSharedByAllRanks: Bool { get }
}

extension ProgramError {
  /// Bad input, unless the error says otherwise.
  public var exitStatus: Int32 { ExitStatus.badInput }
  /// False, unless the error says otherwise.
  public var isSharedByAllRanks: Bool { false }
}

/// The meanings of a process's exit status.
public enum ExitStatus {
  /// The command succeeded.
  public static let done: Int32 = 0
  /// A parity case, or a check, failed.
  public static let mismatch: Int32 = 1
  /// Bad usage, configuration or input.
  public static let badInput: Int32 = 2
  /// The run failed.
  public static let failed: Int32 = 3
  /// The run was interrupted after a checkpoint; started again with --resume, it goes on.
  public static let interrupted: Int32 = 75

  /// The exit status for an error that ends the program.
  public static func of(_ error: any Error) -> Int32 {
    (error as? any ProgramError)?.exitStatus ?? badInput
  }
}
