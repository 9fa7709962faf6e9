internal import CMPI
import LockstepCollectives
import LockstepTensors
import Synchronization

/// A reduction as MPI knows it, with the type of its elements.
///
/// It is made at its first use and lives until ``freeAll()``. MPI may cut a reduction between elements, never
/// within one.
@safe
struct Reduction: @unchecked Sendable {
  let handle: cmpi_op

  /// Chan's merge, whose element is one channel's triple of three float64.
  static func mergedMoments() throws(CommunicationError) -> Reduction { try moments.get() }

  /// The sum of scalars: MPI's own, or one that rounds to bfloat16.
  static func sum(of scalar: ScalarKind) throws(CommunicationError) -> Reduction {
    scalar == .bfloat16
      ? try bfloat16Sum.get() : unsafe Reduction(handle: cmpi_sum(scalar.datatype))
  }

  private static let moments = Result { () throws(CommunicationError) in
    try unsafe Reduction(of: MomentsTriple.width, CMPI_DOUBLE, mergeMoments)
  }

  private static let bfloat16Sum = Result { () throws(CommunicationError) in
    try unsafe Reduction(of: 1, CMPI_BFLOAT16, addBFloat16)
  }

  private init(handle: cmpi_op) { unsafe self.handle = handle }

  private init(
    of width: Int, _ type: cmpi_type,
    _ reduction:
      @escaping @convention(c) (
        UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, UnsafeMutablePointer<CInt>?,
        UnsafeMutableRawPointer?
      ) -> Void
  ) throws(CommunicationError) {
    var handle = unsafe cmpi_op()
    try check(unsafe cmpi_op_create(reduction, CInt(width), type, &handle), "MPI_Op_create")
    unsafe self.init(handle: handle)
    Self.made.withLock { $0.append(self) }
  }

  private static let made = Mutex<[Reduction]>([])

  /// Frees what was made; only the end of MPI may follow.
  static func freeAll() {
    for reduction in made.withLock(\.self) {
      _ = unsafe cmpi_op_free(reduction.handle)
    }
  }
}

private func mergeMoments(
  _ operand: UnsafeMutableRawPointer?, _ result: UnsafeMutableRawPointer?,
  _ count: UnsafeMutablePointer<CInt>?, _: UnsafeMutableRawPointer?
) {
  guard let operand = unsafe operand?.assumingMemoryBound(to: MomentsTriple.self),
    let result = unsafe result?.assumingMemoryBound(to: MomentsTriple.self),
    let count = unsafe count?.pointee
  else { return }
  for i in 0..<Int(count) { unsafe result[i] = unsafe operand[i].merged(with: result[i]) }
}

private func addBFloat16(
  _ operand: UnsafeMutableRawPointer?, _ result: UnsafeMutableRawPointer?,
  _ count: UnsafeMutablePointer<CInt>?, _: UnsafeMutableRawPointer?
) {
  guard let operand = unsafe operand?.assumingMemoryBound(to: BFloat16.self),
    let result = unsafe result?.assumingMemoryBound(to: BFloat16.self),
    let count = unsafe count?.pointee
  else { return }
  for i in 0..<Int(count) { unsafe result[i] = unsafe operand[i] + result[i] }
}
