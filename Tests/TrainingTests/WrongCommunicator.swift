import LockstepCollectives
import LockstepTensors

/// A communicator whose last rank gets the last element of every result wrong, and whose barriers hold
/// nobody.
///
/// Single elements are left alone: they say when to measure.
final class WrongCommunicator: ForwardingCommunicator {
  let inner: any Communicator

  init(_ inner: any Communicator) { self.inner = inner }

  func forwarding(_ inner: any Communicator) -> any Communicator { WrongCommunicator(inner) }

  private var isWrong: Bool { rank == size - 1 }

  private func spoil<Element: Communicable>(_ values: Storage<Element>) {
    if isWrong, values.count > 1 { values[values.count - 1] += values[0] }
  }

  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>, for purpose: Purpose)
    throws(CommunicationError)
  {
    try inner.sum(&values, for: purpose)
    if isWrong, values.count > 1 { values[values.count - 1] += values[0] }
  }

  func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>
  {
    let sums = try inner.beginSum(addends, for: purpose).wait()
    spoil(sums)
    return PendingSum(into: sums, by: Over())
  }

  func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose) throws(CommunicationError) {
    try inner.mergeMoments(triples, for: purpose)
    spoil(triples)
  }

  func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try inner.allGather(values, into: gathered, for: purpose)
    spoil(gathered)
  }

  func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try inner.reduceScatter(addends, into: block, for: purpose)
    spoil(block)
  }

  func broadcast<Element: Communicable>(_ values: inout MutableSpan<Element>, from root: Int)
    throws(CommunicationError)
  {
    try inner.broadcast(&values, from: root)
    if isWrong, values.count > 1 { values[values.count - 1] += values[0] }
  }

  func barrier() {}

  private final class Over: PendingOperation {
    func wait() {}
    func test() -> Bool { true }
  }
}
