import Synchronization

/// A number that several ranks count up.
final class SharedCount: Sendable {
  private let count = Mutex(0)

  /// How often it was counted up.
  var value: Int { count.withLock { $0 } }

  /// Counts one more.
  func increment() { count.withLock { $0 += 1 } }
}
