package import LockstepTensors

/// A communicator that forwards its calls to another.
///
/// A conforming type injects faults by the methods that it implements itself.
package protocol ForwardingCommunicator: Communicator {
  /// The communicator that does the work.
  var inner: any Communicator { get }

  /// Wraps a communicator that was made from ``inner``.
  func forwarding(_ inner: any Communicator) -> any Communicator
}

extension ForwardingCommunicator {
  package var rank: Int { inner.rank }
  package var size: Int { inner.size }
  package var meter: TrafficMeter { inner.meter }
  package var library: String { inner.library }
  package var checks: TrafficMeter? { inner.checks }

  package func sum<Element: Communicable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try inner.sum(&values, for: purpose)
  }

  package func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try inner.maximum(&values, for: purpose)
  }

  package func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>
  {
    try inner.beginSum(addends, for: purpose)
  }

  package func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose)
    throws(CommunicationError)
  {
    try inner.mergeMoments(triples, for: purpose)
  }

  package func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try inner.allGather(values, into: gathered, for: purpose)
  }

  package func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try inner.reduceScatter(addends, into: block, for: purpose)
  }

  package func broadcast<Element: Communicable>(
    _ values: inout MutableSpan<Element>, from root: Int
  ) throws(CommunicationError) {
    try inner.broadcast(&values, from: root)
  }

  package func gather<Element: Communicable>(_ values: [Element], to root: Int)
    throws(CommunicationError) -> [[Element]]?
  {
    try inner.gather(values, to: root)
  }

  package func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]
  {
    try inner.allGather(values)
  }

  package func barrier() throws(CommunicationError) { try inner.barrier() }

  package func duplicate() throws(CommunicationError) -> any Communicator {
    forwarding(try inner.duplicate())
  }

  package func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    forwarding(try inner.split(color: color, key: key))
  }

  package func splitByNode() throws(CommunicationError) -> any Communicator {
    forwarding(try inner.splitByNode())
  }
}
