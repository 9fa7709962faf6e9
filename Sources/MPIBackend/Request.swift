internal import CMPI
import LockstepCollectives
import LockstepTensors

/// An MPI operation in flight.
///
/// It keeps the buffers alive, and completes in `deinit` if nobody waited, so that MPI never
/// writes into freed memory. A completed handle is null, and waiting on null is a no-op.
@safe
final class Request: PendingOperation {
  private let memory = unsafe Storage<cmpi_request>(count: 1)
  private let buffers: [AnyObject]
  private let meter: TrafficMeter
  private var open: OpenCollective

  var handle: UnsafeMutablePointer<cmpi_request> { unsafe memory.pointer }

  init(keeping buffers: [AnyObject], meter: TrafficMeter, _ open: OpenCollective) {
    self.buffers = buffers
    self.meter = meter
    self.open = open
    unsafe memory.pointer.pointee = unsafe cmpi_request_null()
  }

  /// Notes that the call that issued the operation has returned.
  func issued() { meter.issued(&open) }

  func wait() throws(CommunicationError) {
    let start = meter.wait(for: open)
    defer { meter.complete(open, waitedSince: start) }
    try check(unsafe cmpi_wait(handle), "MPI_Wait")
  }

  func test() throws(CommunicationError) -> Bool {
    guard unsafe cmpi_request_is_null(memory.pointer.pointee) == 0 else { return true }
    let start = monotonicNanoseconds()
    var done: CInt = 0
    try check(unsafe cmpi_test(handle, &done), "MPI_Test")
    meter.tested(&open, since: start, isOver: done != 0)
    return done != 0
  }

  deinit {
    guard unsafe cmpi_request_is_null(memory.pointer.pointee) == 0 else { return }
    _ = meter.wait(for: open)
    _ = unsafe cmpi_wait(handle)
    meter.drop(open)
  }
}
