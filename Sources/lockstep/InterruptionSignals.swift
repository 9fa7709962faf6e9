import Foundation
import Synchronization

/// The signals after which training ends with a checkpoint.
enum InterruptionSignals {
  /// What mpirun and schedulers send.
  private static let numbers = [SIGTERM, SIGINT, SIGUSR1]
  private static let received = Atomic<CInt>(0)

  /// The first signal that came, if one did.
  static var current: CInt? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// Notes these signals from now on, and nothing else: the run looks after each step.
  ///
  /// A second SIGINT ends the process at once.
  static func install() {
    // A handler may not be the first to touch it.
    _ = received.load(ordering: .relaxed)
    for number in numbers {
      _ = signal(number) { number in
        let (isFirst, before) = InterruptionSignals.received.compareExchange(
          expected: 0, desired: number, ordering: .relaxed)
        if !isFirst, before == SIGINT, number == SIGINT {
          _ = signal(SIGINT, SIG_DFL)
          raise(SIGINT)
        }
      }
    }
  }
}
