import Glibc
import LockstepCollectives
import LockstepTensors

/// A communicator that issues something else at the call that a ``Fault`` chooses.
///
/// A training step calls sums alone.
final class FaultyCommunicator: ForwardingCommunicator {
  let inner: any Communicator
  private let fault: Fault

  init(_ inner: any Communicator, _ fault: Fault) {
    self.inner = inner
    self.fault = fault
  }

  func forwarding(_ inner: any Communicator) -> any Communicator {
    FaultyCommunicator(inner, fault)
  }

  private func call<Element: Communicable>(
    _: Element.Type, _ elements: Int, isBegun: Bool, for purpose: Purpose
  ) -> Call {
    Call(
      communicator: self, isBegun: isBegun, elements: elements,
      isDouble: Element.kind == .float64, purpose: purpose)
  }

  /// Issues `call` with numbers that mean nothing, and waits.
  private func issue(_ call: Call) throws(CommunicationError) {
    let communicator = call.communicator.inner
    switch (call.isBegun, call.isDouble) {
    case (true, true):
      _ = try communicator.beginSum(
        Storage<Double>(count: call.elements, filledWith: 0), for: call.purpose
      ).wait()
    case (true, false):
      _ = try communicator.beginSum(
        Storage<Float>(count: call.elements, filledWith: 0), for: call.purpose
      ).wait()
    case (false, true):
      var values = [Double](repeating: 0, count: call.elements)
      try communicator.sum(&values, for: call.purpose)
    case (false, false):
      var values = [Float](repeating: 0, count: call.elements)
      try communicator.sum(&values, for: call.purpose)
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

  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>, for purpose: Purpose)
    throws(CommunicationError)
  {
    if try goesOn(call(Element.self, values.count, isBegun: false, for: purpose)) {
      try inner.sum(&values, for: purpose)
    }
  }

  func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>
  {
    try goesOn(call(Element.self, addends.count, isBegun: true, for: purpose))
      ? inner.beginSum(addends, for: purpose) : Solo().beginSum(addends, for: purpose)
  }
}
