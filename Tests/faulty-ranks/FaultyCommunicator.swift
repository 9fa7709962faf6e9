import Collectives
import Glibc
import Tensors

/// A communicator that issues something else at the call that a ``Fault`` chooses.
///
/// A training step calls sums alone.
final class FaultyCommunicator: Communicator {
  private let inner: any Communicator
  private let fault: Fault

  init(_ inner: any Communicator, _ fault: Fault) {
    self.inner = inner
    self.fault = fault
  }

  var rank: Int { inner.rank }
  var size: Int { inner.size }
  var meter: TrafficMeter { inner.meter }
  var checks: TrafficMeter? { inner.checks }

  private func call<Element: Communicable>(_: Element.Type, _ elements: Int, isBegun: Bool) -> Call
  {
    Call(
      communicator: self, isBegun: isBegun, elements: elements,
      isDouble: Element.kind == .float64, purpose: meter.purpose)
  }

  /// Issues `call` with numbers that mean nothing, and waits.
  private func issue(_ call: Call) throws(CommunicationError) {
    let communicator = call.communicator.inner
    let before = communicator.meter.purpose
    communicator.meter.purpose = call.purpose
    defer { communicator.meter.purpose = before }
    switch (call.isBegun, call.isDouble) {
    case (true, true):
      _ = try communicator.beginSum(Storage<Double>(count: call.elements, filledWith: 0)).wait()
    case (true, false):
      _ = try communicator.beginSum(Storage<Float>(count: call.elements, filledWith: 0)).wait()
    case (false, true):
      var values = [Double](repeating: 0, count: call.elements)
      try communicator.sum(&values)
    case (false, false):
      var values = [Float](repeating: 0, count: call.elements)
      try communicator.sum(&values)
    }
  }

  /// Whether the call itself is still to be made.
  private func goesOn(_ call: Call) throws(CommunicationError) -> Bool {
    switch fault.next(call) {
    case nil, .some(.none): return true
    case .stop:
      raise(SIGSTOP)
      return true
    case .skip: return false
    case .count, .type, .order, .silent:
      try issue(fault.instead(of: call))
      return false
    }
  }

  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>) throws(CommunicationError) {
    if try goesOn(call(Element.self, values.count, isBegun: false)) { try inner.sum(&values) }
  }

  func beginSum<Element: Communicable>(_ addends: Storage<Element>) throws(CommunicationError)
    -> PendingSum<Element>
  {
    try goesOn(call(Element.self, addends.count, isBegun: true))
      ? inner.beginSum(addends) : Solo().beginSum(addends)
  }

  func mergeMoments(_ triples: Storage<Double>) throws(CommunicationError) {
    try inner.mergeMoments(triples)
  }

  func allGather<Element: Communicable>(_ values: Storage<Element>, into gathered: Storage<Element>)
    throws(CommunicationError)
  {
    try inner.allGather(values, into: gathered)
  }

  func sumAndScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>
  ) throws(CommunicationError) {
    try inner.sumAndScatter(addends, into: block)
  }

  func broadcast<Element: Communicable>(_ values: inout MutableSpan<Element>, from root: Int)
    throws(CommunicationError)
  {
    try inner.broadcast(&values, from: root)
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

  func barrier() throws(CommunicationError) { try inner.barrier() }

  func duplicate() throws(CommunicationError) -> any Communicator {
    FaultyCommunicator(try inner.duplicate(), fault)
  }

  func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    FaultyCommunicator(try inner.split(color: color, key: key), fault)
  }

  func splitByNode() throws(CommunicationError) -> any Communicator {
    FaultyCommunicator(try inner.splitByNode(), fault)
  }
}
