import Foundation
public import LockstepTensors

/// One rank of a group whose ranks are threads of this process.
///
/// It stands in for the MPI backend without a launcher, so that collective code can be tested, and
/// cases with another number of ranks replayed. Sums are taken in rank order, so results do not
/// depend on the threads' timing. A collective that does not match the other ranks' collectives
/// throws on all ranks.
public final class ThreadCommunicator: Communicator {
  private let group: ThreadGroup
  /// Counts and records what goes through this communicator.
  public let meter = TrafficMeter()
  private var sequence = 0
  /// This thread's index.
  public let rank: Int
  /// The number of threads.
  public var size: Int { group.size }

  fileprivate init(rank: Int, in group: ThreadGroup) {
    self.rank = rank
    self.group = group
  }

  /// Posts this rank's part of the next collective and returns the collective's number.
  private func post(_ operation: String, _ part: any Sendable) throws(CommunicationError) -> Int {
    sequence += 1
    try group.post(part, operation, from: rank, sequence)
    return sequence
  }

  /// Posts this rank's part and waits for all ranks' parts.
  private func exchange<Part: Sendable>(
    _ operation: String, _ kind: CollectiveKind, _ elements: Int, of scalar: ScalarKind,
    root: Int = 0, for purpose: Purpose = .control, _ part: Part
  ) throws(CommunicationError) -> [Part] {
    let open = meter.enter(kind, elements, of: scalar, root: root, for: purpose)
    defer { meter.leave(open) }
    return try group.collect(post(operation, part))
  }

  /// The element-wise sum in rank order.
  fileprivate static func total<Element: Communicable>(_ parts: [[Element]]) -> [Element] {
    var total = parts[0]
    for part in parts.dropFirst() {
      for i in total.indices { total[i] += part[i] }
    }
    return total
  }

  /// Replaces `values` by their sums.
  public func sum<Element: Communicable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    let mine = values.copied()
    let parts = try exchange(
      "sum of \(mine.count) \(Element.self)", .allReduce, mine.count, of: Element.kind,
      for: purpose, mine)
    let total = Self.total(parts)
    for i in total.indices { values[i] = total[i] }
  }

  /// Replaces `values` by their maximum over all ranks.
  public func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    let mine = values.copied()
    let parts = try exchange(
      "maximum of \(mine.count) \(Element.self)", .maximum, mine.count, of: Element.kind,
      for: purpose, mine)
    for i in mine.indices { values[i] = parts.dropFirst().reduce(parts[0][i]) { max($0, $1[i]) } }
  }

  /// Starts a nonblocking sum of `addends`.
  public func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>
  {
    var open = meter.enter(.begunAllReduce, addends.count, of: Element.kind, for: purpose)
    let number = try post(
      "nonblocking sum of \(addends.count) \(Element.self)", addends.copy(0..<addends.count))
    let sums = Storage<Element>(count: addends.count)
    meter.issued(&open)
    return PendingSum(
      into: sums,
      by: PendingThreadSum(group: group, number: number, into: sums, meter: meter, open))
  }

  /// Replaces `triples` by those of all ranks' samples, merged in rank order.
  public func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose)
    throws(CommunicationError)
  {
    let count = triples.count / MomentsTriple.width
    let parts = try exchange(
      "merge of \(count) moments", .mergeMoments, triples.count, of: .float64, for: purpose,
      (0..<count).map { triples.triple(at: $0) })
    for i in 0..<count {
      triples.write(parts.dropFirst().reduce(parts[0][i]) { $0.merged(with: $1[i]) }, at: i)
    }
  }

  /// Every rank's values, in rank order.
  public func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    let parts = try exchange(
      "all-gather of \(values.count) \(Element.self)", .allGather, values.count,
      of: Element.kind, for: purpose, values.copy(0..<values.count))
    for (rank, part) in parts.enumerated() { gathered.write(part, at: rank * values.count) }
  }

  /// This rank's block of the sums.
  public func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    let parts = try exchange(
      "reduce-scatter of \(addends.count) \(Element.self)", .reduceScatter, addends.count,
      of: Element.kind, for: purpose, addends.copy(0..<addends.count))
    let start = rank * block.count
    block.write(Array(Self.total(parts)[start..<start + block.count]), at: 0)
  }

  /// Replaces `values` by those of `root`.
  public func broadcast<Element: Communicable>(
    _ values: inout MutableSpan<Element>, from root: Int
  ) throws(CommunicationError) {
    let mine = values.copied()
    let parts = try exchange(
      "broadcast of \(mine.count) \(Element.self) from \(root)", .broadcast, mine.count,
      of: Element.kind, root: root, mine)
    for i in mine.indices { values[i] = parts[root][i] }
  }

  /// Every rank's values on `root`.
  public func gather<Element: Communicable>(_ values: [Element], to root: Int)
    throws(CommunicationError) -> [[Element]]?
  {
    let parts = try exchange(
      "gather of \(Element.self) to \(root)", .gather, values.count, of: Element.kind, root: root,
      values)
    return rank == root ? parts : nil
  }

  /// Every rank's values on every rank.
  public func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]
  {
    try exchange(
      "all-gather of \(Element.self)", .allGatherOfAny, values.count, of: Element.kind, values)
  }

  /// Returns once every thread has called it.
  public func barrier() throws(CommunicationError) {
    _ = try exchange("barrier", .barrier, 0, of: .byte, 0)
  }

  /// A communicator of the same threads.
  public func duplicate() throws(CommunicationError) -> any Communicator {
    try split(color: 0, key: rank)
  }

  /// The communicator of the threads that give the same color.
  public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    let number = try post("split", [color, key])
    let parts: [[Int]] = try group.collect(number)
    let members = parts.indices.filter { parts[$0][0] == color }.sorted {
      (parts[$0][1], $0) < (parts[$1][1], $1)
    }
    let child = group.child(number, color, size: members.count)
    return ThreadCommunicator(rank: members.firstIndex(of: rank) ?? 0, in: child)
  }

  /// A communicator of the same threads: they share one memory.
  public func splitByNode() throws(CommunicationError) -> any Communicator { try duplicate() }
}

extension MutableSpan where Element: BitwiseCopyable {
  /// The elements as an array.
  fileprivate func copied() -> [Element] {
    var result: [Element] = []
    result.reserveCapacity(count)
    for i in indices { result.append(self[i]) }
    return result
  }
}

/// A nonblocking sum of thread ranks.
private final class PendingThreadSum<Element: Communicable>: PendingOperation {
  private let group: ThreadGroup
  private let number: Int
  private let sums: Storage<Element>
  private let meter: TrafficMeter
  private let open: OpenCollective
  private var isDone = false

  init(
    group: ThreadGroup, number: Int, into sums: Storage<Element>, meter: TrafficMeter,
    _ open: OpenCollective
  ) {
    self.open = open
    self.group = group
    self.number = number
    self.sums = sums
    self.meter = meter
  }

  func wait() throws(CommunicationError) {
    guard !isDone else { return }
    let start = meter.wait(for: open)
    defer { meter.complete(open, waitedSince: start) }
    let parts: [[Element]] = try group.collect(number)
    sums.write(ThreadCommunicator.total(parts), at: 0)
    isDone = true
  }

  func test() throws(CommunicationError) -> Bool {
    if !isDone, try group.isComplete(number) { try wait() }
    return isDone
  }

  deinit { if !isDone { group.forget(number) } }
}

/// Runs `body` once per rank, each on a thread of its own, and returns the results in rank order.
///
/// - Throws: the first error in time. When a rank throws, the other ranks' collectives throw too.
public func withThreadRanks<Result: Sendable>(
  _ size: Int, _ body: @escaping @Sendable (ThreadCommunicator) throws -> Result
) throws -> [Result] {
  precondition(size > 0, "\(size) ranks")
  let group = ThreadGroup(size: size)
  let results = ThreadResults<Result>(size)
  for rank in 0..<size {
    let thread = Thread {
      do {
        results.finish(rank, .success(try body(ThreadCommunicator(rank: rank, in: group))))
      } catch {
        results.finish(rank, .failure(error))
        group.fail(
          CommunicationError(call: "thread rank", code: 1, reason: "rank \(rank) threw: \(error)"))
      }
    }
    thread.stackSize = 16 << 20
    thread.start()
  }
  return try results.wait()
}

private final class ThreadResults<Value: Sendable>: @unchecked Sendable {
  private let condition = NSCondition()
  private var values: [Value?]
  private var finished = 0
  private var firstError: (any Error)?

  init(_ count: Int) { values = Array(repeating: nil, count: count) }

  func finish(_ rank: Int, _ result: Result<Value, any Error>) {
    condition.lock()
    defer { condition.unlock() }
    switch result {
    case .success(let value): values[rank] = value
    case .failure(let error): firstError = firstError ?? error
    }
    finished += 1
    condition.broadcast()
  }

  func wait() throws -> [Value] {
    condition.lock()
    defer { condition.unlock() }
    while finished < values.count { condition.wait() }
    if let firstError { throw firstError }
    return values.compactMap { $0 }
  }
}
