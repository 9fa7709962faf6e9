import Foundation
import Synchronization

/// The signals after which training ends with a checkpoint.
package enum InterruptionSignals {
  /// The signals that mpirun and schedulers send.
  private static let numbers = [SIGTERM, SIGINT, SIGUSR1]
  private static let received = Atomic<CInt>(0)
  private static let interrupts = Atomic<Int>(0)

  /// The first signal that came, if one did.
  package static var current: CInt? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  /// Makes these signals set a number and do nothing else; the run looks at it after each step.
  ///
  /// A second SIGINT ends the process at once, whatever came before. A SIGINT that was ignored before stays ignored; shells do that
  /// for programs that they start in the background.
  ///
  /// A separate thread receives the signals, and the calling thread blocks them: oneDNN's kernels use the
  /// stack pointer for other things, so the operating system would write a handler's frame into the heap.
  package static func install() {
    // A handler must not be the first to touch the numbers, which would initialize them.
    _ = received.load(ordering: .relaxed)
    _ = interrupts.load(ordering: .relaxed)
    var taken = sigset_t()
    unsafe sigemptyset(&taken)
    for number in numbers where number != SIGINT || !isIgnored(SIGINT) {
      unsafe sigaddset(&taken, number)
      _ = signal(number) { number in
        _ = InterruptionSignals.received.compareExchange(
          expected: 0, desired: number, ordering: .relaxed)
        guard number == SIGINT else { return }
        if InterruptionSignals.interrupts.add(1, ordering: .relaxed).newValue > 1 {
          _ = signal(SIGINT, SIG_DFL)
          raise(SIGINT)
        }
      }
    }
    _ = unsafe pthread_sigmask(SIG_BLOCK, &taken, nil)
    let set = taken
    let thread = Thread {
      var set = set
      _ = unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
      while true { pause() }
    }
    thread.name = "signals"
    thread.start()
  }

  private static func isIgnored(_ number: CInt) -> Bool {
    var action = sigaction()
    _ = unsafe sigaction(number, nil, &action)
    // SIG_IGN is the number 1 in place of a function pointer.
    return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
  }
}
