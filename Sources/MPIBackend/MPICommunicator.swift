internal import CMPI
public import LockstepCollectives
public import LockstepTensors

/// A group of MPI processes.
///
/// Every error is thrown with MPI's own message. Only the thread that called ``MPIRuntime/start()`` uses
/// MPI, apart from the abort of a ``Watchdog``.
@safe
public final class MPICommunicator: Communicator {
  private let handle: cmpi_comm
  /// Counts and records what goes through this communicator.
  public let meter = TrafficMeter()
  /// This process's index in the group.
  public let rank: Int
  /// The number of processes in the group.
  public let size: Int
  /// MPI's name and version.
  public var library: String { MPIRuntime.version }
  /// A number that is the same on all ranks, and different for each of their communicators.
  private let identity: UInt64
  private var children = 0

  /// Wraps a communicator.
  ///
  /// It is never freed: freeing is collective, and the order in which Swift releases objects is not
  /// the same on all ranks.
  init(handle: cmpi_comm, madeFrom parent: MPICommunicator? = nil) throws(CommunicationError) {
    unsafe self.handle = unsafe handle
    try check(unsafe cmpi_comm_return_errors(handle), "MPI_Comm_set_errhandler")
    var (rank, size): (CInt, CInt) = (0, 0)
    try check(unsafe cmpi_comm_rank(handle, &rank), "MPI_Comm_rank")
    try check(unsafe cmpi_comm_size(handle, &size), "MPI_Comm_size")
    self.rank = Int(rank)
    self.size = Int(size)
    let members = try unsafe Self.worldRanks(of: handle, size: size)
    identity = RankActivity.identity(
      madeFrom: parent?.identity ?? 0, ordinal: parent?.children ?? 0, members: members)
    meter.publish(in: MPIRuntime.activity, identity: identity, members: members)
  }

  /// The members of a communicator, by their ranks in the whole job.
  private static func worldRanks(of handle: cmpi_comm, size: CInt) throws(CommunicationError)
    -> [ClosedRange<Int32>]
  {
    let ranks = Array(0..<size)
    let world = Storage<CInt>(count: ranks.count)
    try check(
      unsafe cmpi_world_ranks(handle, size, ranks, world.pointer), "MPI_Group_translate_ranks")
    var ranges: [ClosedRange<Int32>] = []
    for rank in world.copy(0..<world.count) {
      if let last = ranges.last, rank == last.upperBound + 1 {
        ranges[ranges.count - 1] = last.lowerBound...rank
      } else {
        ranges.append(rank...rank)
      }
    }
    return ranges
  }

  /// A communicator that `make` creates from this one.
  private func child(
    _ kind: CollectiveKind, _ call: String,
    _ make: (UnsafeMutablePointer<cmpi_comm>) -> CInt
  ) throws(CommunicationError) -> any Communicator {
    children += 1
    meter.beginUncounted(kind)
    defer { meter.endUncounted() }
    var made = unsafe cmpi_comm_world()
    try check(unsafe make(&made), call)
    return try unsafe MPICommunicator(handle: made, madeFrom: self)
  }

  /// Replaces `values` by their sums (`MPI_Allreduce`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  @specialized(where Element == BFloat16)
  public func sum<Element: Communicable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    let count = try Self.count(values.count)
    let sum = try Reduction.sum(of: Element.kind)
    let open = meter.enter(.allReduce, values.count, of: Element.kind, for: purpose)
    defer { meter.leave(open) }
    let code = unsafe values.withUnsafeMutableBufferPointer { buffer in
      unsafe cmpi_allreduce(buffer.baseAddress, count, sum.handle, handle)
    }
    try check(code, "MPI_Allreduce")
  }

  /// Replaces `values` by their maximum over all ranks (`MPI_Allreduce` with `MPI_MAX`).
  public func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    let count = try Self.count(values.count)
    let open = meter.enter(.maximum, values.count, of: Element.kind, for: purpose)
    defer { meter.leave(open) }
    let code = unsafe values.withUnsafeMutableBufferPointer { buffer in
      unsafe cmpi_allreduce_max(buffer.baseAddress, count, Element.kind.datatype, handle)
    }
    try check(code, "MPI_Allreduce")
  }

  /// Starts a nonblocking sum of `addends` (`MPI_Iallreduce` with separate buffers, the faster way).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  @specialized(where Element == BFloat16)
  public func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>
  {
    let count = try Self.count(addends.count)
    let sum = try Reduction.sum(of: Element.kind)
    let sums = Storage<Element>(count: addends.count)
    let request = Request(
      keeping: [addends, sums], meter: meter,
      meter.enter(.begunAllReduce, addends.count, of: Element.kind, for: purpose))
    defer { request.issued() }
    try check(
      unsafe cmpi_iallreduce(
        addends.pointer, sums.pointer, count, sum.handle, handle, request.handle),
      "MPI_Iallreduce")
    return PendingSum(into: sums, by: request)
  }

  /// Replaces `triples` by those of all ranks' samples (`MPI_Allreduce` with a custom `MPI_Op`).
  public func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose)
    throws(CommunicationError)
  {
    let operation = try Reduction.mergedMoments()
    let count = try Self.count(triples.count / MomentsTriple.width)
    let open = meter.enter(.mergeMoments, triples.count, of: .float64, for: purpose)
    defer { meter.leave(open) }
    try check(
      unsafe cmpi_allreduce(triples.pointer, count, operation.handle, handle), "MPI_Allreduce")
  }

  /// Every rank's values, equally many from each (`MPI_Allgather`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    precondition(gathered.count == size * values.count)
    let count = try Self.count(values.count)
    let open = meter.enter(.allGather, values.count, of: Element.kind, for: purpose)
    defer { meter.leave(open) }
    try check(
      unsafe cmpi_allgather(
        values.pointer, gathered.pointer, count, Element.kind.datatype, handle), "MPI_Allgather")
  }

  /// This rank's block of the sums (`MPI_Reduce_scatter_block`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    precondition(addends.count == size * block.count)
    let count = try Self.count(block.count)
    let sum = try Reduction.sum(of: Element.kind)
    let open = meter.enter(.reduceScatter, addends.count, of: Element.kind, for: purpose)
    defer { meter.leave(open) }
    try check(
      unsafe cmpi_reduce_scatter(
        addends.pointer, block.pointer, count, sum.handle, handle),
      "MPI_Reduce_scatter_block")
  }

  /// Replaces `values` by those of `root` (`MPI_Bcast`).
  @specialized(where Element == Float)
  @specialized(where Element == Double)
  public func broadcast<Element: Communicable>(
    _ values: inout MutableSpan<Element>, from root: Int
  ) throws(CommunicationError) {
    let count = try Self.count(values.count)
    let open = meter.enter(.broadcast, values.count, of: Element.kind, root: root)
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
    let open = meter.enter(.gather, values.count, of: Element.kind, root: root)
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
    let open = meter.enter(.allGatherOfAny, values.count, of: Element.kind)
    defer { meter.leave(open) }
    return layout.parts(of: try gatherEverywhere(values, layout))
  }

  /// Returns once every rank has called it (`MPI_Barrier`).
  public func barrier() throws(CommunicationError) {
    let open = meter.enter(.barrier, 0, of: .byte)
    defer { meter.leave(open) }
    try check(unsafe cmpi_barrier(handle), "MPI_Barrier")
  }

  /// A communicator of the same ranks (`MPI_Comm_dup`).
  public func duplicate() throws(CommunicationError) -> any Communicator {
    try unsafe child(.duplicate, "MPI_Comm_dup") { unsafe cmpi_comm_dup(handle, $0) }
  }

  /// The communicator of the ranks that give the same color (`MPI_Comm_split`).
  public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    try unsafe child(.split, "MPI_Comm_split") {
      unsafe cmpi_comm_split(handle, CInt(color), CInt(key), $0)
    }
  }

  /// The communicator of the ranks of this node (`MPI_Comm_split_type`).
  public func splitByNode() throws(CommunicationError) -> any Communicator {
    try unsafe child(.splitByNode, "MPI_Comm_split_type") {
      unsafe cmpi_comm_split_by_node(handle, CInt(rank), $0)
    }
  }

  /// Ends every process of the group with `status` (`MPI_Abort`).
  func abort(status: Int32) {
    MPIRuntime.library.letLastLinesThrough()
    _ = unsafe cmpi_abort(handle, status)
  }
}

extension MPICommunicator {
  /// Where each rank's part lies in a buffer of all parts in rank order.
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
    let open = meter.enter(.allGather, 1, of: .int64)
    defer { meter.leave(open) }
    let even = Layout(counts: Array(repeating: 1, count: size))
    let counts = try gatherEverywhere([Int64(try Self.count(count))], even)
    let all = counts.copy(0..<size)
    // All ranks see the same counts, and so the same error.
    _ = try Self.count(all.reduce(0) { $0 + Int($1) })
    return Layout(counts: all.map(CInt.init))
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

  /// A count as C's `int`, which MPI takes.
  private static func count(_ elements: Int) throws(CommunicationError) -> CInt {
    guard let count = CInt(exactly: elements) else {
      throw CommunicationError(
        call: "MPI", code: 0, reason: "\(elements) elements are more than one message can hold")
    }
    return count
  }
}

extension ScalarKind {
  var datatype: cmpi_type {
    switch self {
    case .float32: CMPI_FLOAT
    case .float64: CMPI_DOUBLE
    case .int64: CMPI_INT64
    case .byte: CMPI_BYTE
    case .bfloat16: CMPI_BFLOAT16
    }
  }
}

/// Throws unless `code` is `MPI_SUCCESS`.
///
/// The error names the collective that this rank is in. Where a message is longer than the receiver expects,
/// the ranks are in different ones.
func check(_ code: CInt, _ call: String) throws(CommunicationError) {
  guard code != cmpi_success() else { return }
  var reason =
    unsafe text(capacity: cmpi_max_error_string()) { text, length in
      unsafe MPI_Error_string(code, text, length)
    } ?? "unknown"
  if cmpi_is_truncation(code) != 0 {
    reason =
      "the ranks are in different collectives; `--check collectives` stops before them. \(reason)"
  }
  let moment = MPIRuntime.activity.now
  throw CommunicationError(
    call: call, code: code, reason: reason, collective: moment.isWaiting ? moment.collective : nil)
}

/// The text of at most `capacity` bytes that an MPI function writes; nil if the function fails.
func text(
  capacity: CInt, _ write: (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<CInt>) -> CInt
) -> String? {
  let text = Storage<CChar>(count: Int(capacity) + 1)
  var length: CInt = 0
  guard unsafe write(text.pointer, &length) == cmpi_success() else { return nil }
  // Some libraries count the zero at the end.
  let bytes = text.copy(0..<Int(length)).map(UInt8.init(bitPattern:)).prefix { $0 != 0 }
  return String(decoding: bytes, as: UTF8.self)
}
