internal import CMPI
import LockstepCollectives
import LockstepTensors

/// Chan's merge as an `MPI_Op`, whose element is one channel's triple of three float64.
///
/// MPI may cut a reduction between elements, never within one.
@safe
struct MomentsOperation: @unchecked Sendable {
  let handle: cmpi_op

  private static let made = Result { () throws(CommunicationError) in
    var handle = unsafe cmpi_op()
    try check(
      unsafe cmpi_op_create(merge, CInt(MomentsTriple.width), &handle), "MPI_Op_create")
    return unsafe MomentsOperation(handle: handle)
  }

  /// The operation, made at its first use; it lives as long as MPI.
  static func shared() throws(CommunicationError) -> MomentsOperation { try made.get() }
}

private func merge(
  _ operand: UnsafeMutableRawPointer?, _ result: UnsafeMutableRawPointer?,
  _ count: UnsafeMutablePointer<CInt>?, _: UnsafeMutableRawPointer?
) {
  guard let operand = unsafe operand?.assumingMemoryBound(to: MomentsTriple.self),
    let result = unsafe result?.assumingMemoryBound(to: MomentsTriple.self),
    let count = unsafe count?.pointee
  else { return }
  for i in 0..<Int(count) { unsafe result[i] = unsafe operand[i].merged(with: result[i]) }
}
