import Collectives
import DataParallel
import Datasets
import Foundation
import Measurement
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
  /// A run that was interrupted after a checkpoint: started again with --resume it goes on.
  static let interrupted: Int32 = 75

  /// Writes rank 0's status into the file that Launch/run names: mpirun has a status of its own after
  /// a signal.
  static func tell(_ status: Int32) {
    guard let file = ProcessInfo.processInfo.environment["LOCKSTEP_STATUS_FILE"] else { return }
    try? Data("\(status)\n".utf8).write(to: URL(fileURLWithPath: file))
  }

  /// Whether every rank throws `error`, so that each may end by itself.
  static func isSharedByAllRanks(_ error: any Error) -> Bool {
    error is ConfigurationError || error is AgreedError || error is TrainingFailure
      || error is ReplicaError || error is StateError || error is CollectivesFailure
      || error is ResultError
      || (error as? CommunicationError)?.isSharedByAllRanks == true
  }

  /// The status of an error that all ranks throw, or the only one.
  static func of(_ error: any Error) -> Int32 {
    let isFailure =
      error is TrainingFailure || error is ReplicaError || error is CollectivesFailure
      || error is CommunicationError || error is ResultError
      || (error as? OutputError)?.hasBegun == true
    return isFailure ? failed : badInput
  }
}
