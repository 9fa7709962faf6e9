internal import CMPI
public import Collectives
public import Tensors

/// A group of MPI processes.
///
/// Every error is thrown with MPI's own message. MPI is used from the thread that called
/// ``MPIRuntime/start()`` alone.
@safe
public final class MPICommunicator: Communicator {
  private let handle: cmpi_comm
  /// Counts and records what goes through this communicator.
  public let meter = TrafficMeter()
  /// This process's index in the group.
  public let rank: Int
  /// The number of processes in the group.
  public let size: Int

  /// Wraps a communicator.
  ///
  /// It is never freed: freeing is collective, and the order in which Swift releases objects is not
  /// the same on all ranks.
  init(handle: cmpi_comm) throws(CommunicationError) {
    unsafe self.handle = unsafe handle
    try check(unsafe cmpi_comm_return_errors(handle), "MPI_Comm_set_errhandler")
    var (rank, size): (CInt, CInt) = (0, 0)
    try check(unsafe cmpi_comm_rank(handle, &rank), "MPI_Comm_rank")
    try check(unsafe cmpi_comm_size(handle, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
  }

  /// Replaces `values` by their sums (`MPI_Allreduce`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func sum<Element: Communicable>(_ values: inout MutableSpan<Element>)
    throws(CommunicationError)
  {
    let count = try Self.count(values.count)
    let open = meter.enter(values.count, ofBytes: MemoryLayout<Element>.stride)
    defer { meter.leave(open) }
    let code = unsafe values.withUnsafeMutableBufferPointer { buffer in
      unsafe cmpi_allreduce_sum(buffer.baseAddress, count, Element.kind.datatype, handle)
    }
    try check(code, "MPI_Allreduce")
  }

  /// Starts a sum of `addends` (`MPI_Iallreduce` with separate buffers, the faster way).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func beginSum<Element: Communicable>(_ addends: Storage<Element>)
    throws(CommunicationError) -> PendingSum<Element>
  {
    let count = try Self.count(addends.count)
    let sums = Storage<Element>(count: addends.count)
    let request = Request(
      keeping: [addends, sums], meter: meter,
      meter.enter(addends.count, ofBytes: MemoryLayout<Element>.stride))
    defer { request.issued() }
    try check(
      unsafe cmpi_iallreduce_sum(
        addends.pointer, sums.pointer, count, Element.kind.datatype, handle, request.handle),
      "MPI_Iallreduce")
    return PendingSum(into: sums, by: request)
  }

  /// Replaces `triples` by those of all ranks' samples (`MPI_Allreduce` with an `MPI_Op` of its own).
  public func mergeMoments(_ triples: Storage<Double>) throws(CommunicationError) {
    let operation = try MomentsOperation.shared()
    let count = try Self.count(triples.count / MomentsTriple.width)
    let open = meter.enter(triples.count, ofBytes: MemoryLayout<Double>.stride)
    defer { meter.leave(open) }
    try check(
      unsafe cmpi_allreduce(triples.pointer, count, operation.handle, handle), "MPI_Allreduce")
  }

  /// Every rank's values, as many on each (`MPI_Allgather`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>
  ) throws(CommunicationError) {
    precondition(gathered.count == size * values.count)
    let count = try Self.count(values.count)
    let open = meter.enter(values.count, ofBytes: MemoryLayout<Element>.stride)
    defer { meter.leave(open) }
    try check(
      unsafe cmpi_allgather(
        values.pointer, gathered.pointer, count, Element.kind.datatype, handle), "MPI_Allgather")
  }

  /// This rank's block of the sums (`MPI_Reduce_scatter_block`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func sumAndScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>
  ) throws(CommunicationError) {
    precondition(addends.count == size * block.count)
    let count = try Self.count(block.count)
    let open = meter.enter(addends.count, ofBytes: MemoryLayout<Element>.stride)
    defer { meter.leave(open) }
    try check(
      unsafe cmpi_reduce_scatter_sum(
        addends.pointer, block.pointer, count, Element.kind.datatype, handle),
      "MPI_Reduce_scatter_block")
  }

  /// Replaces `values` by those of `root` (`MPI_Bcast`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func broadcast<Element: Communicable>(
    _ values: inout MutableSpan<Element>, from root: Int
  ) throws(CommunicationError) {
    let count = try Self.count(values.count)
    let open = meter.enter(values.count, ofBytes: MemoryLayout<Element>.stride)
    defer { meter.leave(open) }
    let code = unsafe values.withUnsafeMutableBufferPointer { buffer in
      unsafe cmpi_bcast(buffer.baseAddress, count, Element.kind.datatype, CInt(root), handle)
    }
    try check(code, "MPI_Bcast")
  }

  /// Every rank's values on `root` (`MPI_Gatherv`, after the counts).
  public func gather<Element: Communicable>(_ values: [Element], to root: Int)
    throws(CommunicationError) -> [[Element]]?
  {
    let layout = try countsOfAllRanks(values.count)
    let open = meter.enter(values.count, ofBytes: MemoryLayout<Element>.stride)
    defer { meter.leave(open) }
    let gathered = Storage<Element>(count: rank == root ? layout.total : 0)
    let code = unsafe values.withUnsafeBufferPointer { mine in
      unsafe cmpi_gatherv(
        mine.baseAddress, CInt(mine.count), gathered.pointer, layout.counts, layout.starts,
        Element.kind.datatype, CInt(root), handle)
    }
    try check(code, "MPI_Gatherv")
    return rank == root ? layout.parts(of: gathered) : nil
  }

  /// Every rank's values on every rank (`MPI_Allgatherv`, after the counts).
  public func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]
  {
    let layout = try countsOfAllRanks(values.count)
    let open = meter.enter(values.count, ofBytes: MemoryLayout<Element>.stride)
    defer { meter.leave(open) }
    return layout.parts(of: try gatherEverywhere(values, layout))
  }

  /// Returns once every rank has called it (`MPI_Barrier`).
  public func barrier() throws(CommunicationError) {
    let open = meter.enter(0, ofBytes: 1)
    defer { meter.leave(open) }
    try check(unsafe cmpi_barrier(handle), "MPI_Barrier")
  }

  /// A communicator of the same ranks (`MPI_Comm_dup`).
  public func duplicate() throws(CommunicationError) -> any Communicator {
    var copy = unsafe cmpi_comm_world()
    try check(unsafe cmpi_comm_dup(handle, &copy), "MPI_Comm_dup")
    return try unsafe MPICommunicator(handle: copy)
  }

  /// The communicator of the ranks that give the same color (`MPI_Comm_split`).
  public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    var part = unsafe cmpi_comm_world()
    try check(
      unsafe cmpi_comm_split(handle, CInt(color), CInt(key), &part), "MPI_Comm_split")
    return try unsafe MPICommunicator(handle: part)
  }

  /// The communicator of the ranks of this node (`MPI_Comm_split_type`).
  public func splitByNode() throws(CommunicationError) -> any Communicator {
    var part = unsafe cmpi_comm_world()
    try check(
      unsafe cmpi_comm_split_by_node(handle, CInt(rank), &part), "MPI_Comm_split_type")
    return try unsafe MPICommunicator(handle: part)
  }

  /// Ends every process of the group with `status` (`MPI_Abort`).
  func abort(status: Int32) { _ = unsafe cmpi_abort(handle, status) }
}

extension MPICommunicator {
  /// Where each rank's part lies when all parts lie in rank order.
  private struct Layout {
    let counts: [CInt]
    let starts: [CInt]
    var total: Int { Int(counts.reduce(0, +)) }

    init(counts: [CInt]) {
      self.counts = counts
      var (starts, next): ([CInt], CInt) = ([], 0)
      for count in counts {
        starts.append(next)
        next += count
      }
      self.starts = starts
    }

    func parts<Element: Communicable>(of all: Storage<Element>) -> [[Element]] {
      counts.indices.map { all.copy(Int(starts[$0])..<Int(starts[$0] + counts[$0])) }
    }
  }

  /// Every rank's element count, before a gather of different counts.
  private func countsOfAllRanks(_ count: Int) throws(CommunicationError) -> Layout {
    let open = meter.enter(1, ofBytes: MemoryLayout<Int64>.stride)
    defer { meter.leave(open) }
    let even = Layout(counts: Array(repeating: 1, count: size))
    let counts = try gatherEverywhere([Int64(try Self.count(count))], even)
    return Layout(counts: counts.copy(0..<size).map(CInt.init))
  }

  private func gatherEverywhere<Element: Communicable>(_ values: [Element], _ layout: Layout)
    throws(CommunicationError) -> Storage<Element>
  {
    let gathered = Storage<Element>(count: layout.total)
    let code = unsafe values.withUnsafeBufferPointer { mine in
      unsafe cmpi_allgatherv(
        mine.baseAddress, CInt(mine.count), gathered.pointer, layout.counts, layout.starts,
        Element.kind.datatype, handle)
    }
    try check(code, "MPI_Allgatherv")
    return gathered
  }

  /// MPI counts in C's int.
  private static func count(_ elements: Int) throws(CommunicationError) -> CInt {
    guard let count = CInt(exactly: elements) else {
      throw CommunicationError(
        call: "MPI", code: 0, reason: "\(elements) elements are more than one message can hold")
    }
    return count
  }
}

extension ScalarKind {
  fileprivate var datatype: cmpi_type {
    switch self {
    case .float32: CMPI_FLOAT
    case .float64: CMPI_DOUBLE
    case .int64: CMPI_INT64
    case .byte: CMPI_BYTE
    }
  }
}

/// Throws unless `code` is `MPI_SUCCESS`.
func check(_ code: CInt, _ call: String) throws(CommunicationError) {
  guard code != cmpi_success() else { return }
  let reason = unsafe text(capacity: cmpi_max_error_string()) { text, length in
    unsafe MPI_Error_string(code, text, length)
  }
  throw CommunicationError(call: call, code: code, reason: reason ?? "unknown")
}

/// What an MPI function writes into a text of at most `capacity` bytes, or nil if it fails.
func text(
  capacity: CInt, _ write: (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<CInt>) -> CInt
) -> String? {
  let text = Storage<CChar>(count: Int(capacity) + 1)
  var length: CInt = 0
  guard unsafe write(text.pointer, &length) == cmpi_success() else { return nil }
  return String(decoding: text.copy(0..<Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
}
