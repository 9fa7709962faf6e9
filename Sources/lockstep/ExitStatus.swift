import Collectives
import DataParallel
import Datasets
import Training

/// What the process's exit status says.
enum ExitStatus {
  static let done: Int32 = 0
  /// A parity case, or a check, failed.
  static let mismatch: Int32 = 1
  /// Bad usage, configuration or input.
  static let badInput: Int32 = 2
  /// A run that failed.
  static let failed: Int32 = 3

  /// Whether every rank throws `error`, so that each may end by itself.
  static func isSharedByAllRanks(_ error: any Error) -> Bool {
    error is ConfigurationError || error is AgreedError || error is TrainingFailure
      || error is ReplicaError || error is StateError || error is CollectivesFailure
      || (error as? CommunicationError)?.isSharedByAllRanks == true
  }

  /// The status of an error that all ranks throw.
  static func of(_ error: any Error) -> Int32 {
    error is TrainingFailure || error is ReplicaError || error is CollectivesFailure
      || error is CommunicationError ? failed : badInput
  }
}
