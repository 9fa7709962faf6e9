import Collectives
import Tensors

/// A communicator whose last rank gets the last element of every result wrong, and whose barriers hold
/// nobody.
///
/// Single elements are left alone: they say when to measure.
final class WrongCommunicator: Communicator {
  private let inner: any Communicator

  init(_ inner: any Communicator) { self.inner = inner }

  var rank: Int { inner.rank }
  var size: Int { inner.size }
  var meter: TrafficMeter { inner.meter }
  private var isWrong: Bool { rank == size - 1 }

  private func spoil<Element: Communicable>(_ values: Storage<Element>) {
    if isWrong, values.count > 1 { values[values.count - 1] += values[0] }
  }

  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>) throws(CommunicationError) {
    try inner.sum(&values)
    if isWrong, values.count > 1 { values[values.count - 1] += values[0] }
  }

  func beginSum<Element: Communicable>(_ addends: Storage<Element>) throws(CommunicationError)
    -> PendingSum<Element>
  {
    let sums = try inner.beginSum(addends).wait()
    spoil(sums)
    return PendingSum(into: sums, by: Over())
  }

  func mergeMoments(_ triples: Storage<Double>) throws(CommunicationError) {
    try inner.mergeMoments(triples)
    spoil(triples)
  }

  func allGather<Element: Communicable>(_ values: Storage<Element>, into gathered: Storage<Element>)
    throws(CommunicationError)
  {
    try inner.allGather(values, into: gathered)
    spoil(gathered)
  }

  func sumAndScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>
  ) throws(CommunicationError) {
    try inner.sumAndScatter(addends, into: block)
    spoil(block)
  }

  func broadcast<Element: Communicable>(_ values: inout MutableSpan<Element>, from root: Int)
    throws(CommunicationError)
  {
    try inner.broadcast(&values, from: root)
    if isWrong, values.count > 1 { values[values.count - 1] += values[0] }
  }

  func gather<Element: Communicable>(_ values: [Element], to root: Int) throws(CommunicationError)
    -> [[Element]]?
  {
    try inner.gather(values, to: root)
  }

  func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]
  {
    try inner.allGather(values)
  }

  func barrier() {}

  func duplicate() throws(CommunicationError) -> any Communicator {
    WrongCommunicator(try inner.duplicate())
  }

  func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    WrongCommunicator(try inner.split(color: color, key: key))
  }

  func splitByNode() throws(CommunicationError) -> any Communicator {
    WrongCommunicator(try inner.splitByNode())
  }

  private final class Over: PendingOperation {
    func wait() {}
    func test() -> Bool { true }
  }
}
