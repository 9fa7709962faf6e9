/// An error that says how a program ends because of it.
public protocol ProgramError: Error, CustomStringConvertible {
  /// The exit status, one of ``ExitStatus``.
  var exitStatus: Int32 { get }
  /// Whether all ranks throw it in the same place, so that each may end by itself.
  var isSharedByAllRanks: Bool { get }
}

extension ProgramError {
  /// Bad input, unless the error says otherwise.
  public var exitStatus: Int32 { ExitStatus.badInput }
  /// One rank's, unless the error says otherwise.
  public var isSharedByAllRanks: Bool { false }
}

/// What a process's exit status says.
public enum ExitStatus {
  /// All is well.
  public static let done: Int32 = 0
  /// A parity case, or a check, failed.
  public static let mismatch: Int32 = 1
  /// Bad usage, configuration or input.
  public static let badInput: Int32 = 2
  /// A run that failed.
  public static let failed: Int32 = 3
  /// A run that was interrupted after a checkpoint: started again with --resume it goes on.
  public static let interrupted: Int32 = 75

  /// The status of an error that all ranks throw, or the only one.
  public static func of(_ error: any Error) -> Int32 {
    (error as? any ProgramError)?.exitStatus ?? badInput
  }
}
