public import LockstepTensors

/// A collective in flight, as a backend sees it.
public protocol PendingOperation: AnyObject {
  /// Blocks until the operation is complete.
  func wait() throws(CommunicationError)
  /// Lets the library make progress, and returns whether the operation is complete.
  func test() throws(CommunicationError) -> Bool
}

/// A sum over all ranks that has started and may not have finished.
///
/// Only ``wait()`` hands out the sums, and it consumes this value. So reading too early, waiting
/// twice and copying do not compile. The backend's operation keeps all memory alive until the
/// library is done with it.
public struct PendingSum<Element: Communicable>: ~Copyable {
  private let sums: Storage<Element>
  private let operation: any PendingOperation

  /// Wraps a backend's operation that writes to `sums`.
  public init(into sums: Storage<Element>, by operation: any PendingOperation) {
    self.sums = sums
    self.operation = operation
  }

  /// Waits for every rank's addends, then returns their sums.
  public consuming func wait() throws(CommunicationError) -> Storage<Element> {
    try operation.wait()
    return sums
  }

  /// Lets the library make progress, and returns whether ``wait()`` would return at once.
  public borrowing func test() throws(CommunicationError) -> Bool { try operation.test() }
}
