public import LockstepTensors

/// A communicator whose ranks agree on every collective before they issue it.
///
/// Before each collective, the ranks tell each other what they are about to issue. They do so on a
/// separate communicator, which is shared by all communicators made from the same one. So a rank that
/// moves on to a collective on another communicator still meets the others in a check. If the ranks
/// differ, nothing is issued. All throw the same error, which names the ranks and their collectives.
///
/// A split into parts of the ranks gives each part its own communicator for checks.
public final class CheckedCommunicator: Communicator {
  /// One communicator for checks.
  private final class Check {
    let communicator: any Communicator
    let coversAllRanks: Bool
    /// The members, by their rank in the world.
    package let ranks: [Int]
    private var communicators = 0

    init(_ communicator: any Communicator, rank: Int, coversAllRanks: Bool)
      throws(CommunicationError)
    {
      self.communicator = communicator
      self.coversAllRanks = coversAllRanks
      communicator.meter.name = EventName("checks")
      ranks = try communicator.allGather([Int64(rank)]).map { Int($0[0]) }
    }

    /// This process's rank in the world.
    var rank: Int { ranks[communicator.rank] }

    /// Adds a communicator that is checked here, and returns its number.
    func join() -> Int {
      defer { communicators += 1 }
      return communicators
    }
  }

  private let inner: any Communicator
  private let check: Check
  private let number: Int
  private let own: Storage<Int64>
  private let all: Storage<Int64>

  /// Creates a communicator over the ranks of `world` that checks its collectives.
  ///
  /// Communicators made from it are checked too.
  ///
  /// Collective.
  public convenience init(_ world: any Communicator) throws(CommunicationError) {
    self.init(
      world, try Check(try world.duplicate(), rank: world.rank, coversAllRanks: true))
  }

  private init(_ inner: any Communicator, _ check: Check) {
    self.inner = inner
    self.check = check
    number = check.join()
    let width = 2 + CollectiveSignature.fieldCount
    own = Storage(count: width)
    all = Storage(count: width * inner.size)
  }

  /// This process's index.
  public var rank: Int { inner.rank }
  /// The number of ranks.
  public var size: Int { inner.size }
  /// Counts the traffic of the checked communicator.
  public var meter: TrafficMeter { inner.meter }
  /// The library of the checked communicator.
  public var library: String { inner.library }
  /// Counts the messages of the checks.
  public var checks: TrafficMeter? { check.communicator.meter }

  /// Throws unless all ranks are about to issue the same collective.
  private func agree(
    on kind: CollectiveKind, _ elements: Int = 0, of scalar: ScalarKind = .byte, root: Int = 0,
    for purpose: Purpose = .control
  ) throws(CommunicationError) {
    let signature = CollectiveSignature(kind, elements, of: scalar, root: root, for: purpose)
    let next = meter.traffic.collectives + 1
    own.write([Int64(number), Int64(next)] + signature.fields, at: 0)
    // If a rank never joins the check, the watchdog names this collective.
    check.communicator.meter.announced = signature
    defer { check.communicator.meter.announced = nil }
    try check.communicator.allGather(own, into: all)
    let width = own.count
    let isSame = (0..<all.count).allSatisfy { all[$0] == all[$0 % width] }
    guard isSame else {
      let texts = try check.communicator.allGather(
        signature.text(number: next, on: meter.name.text))
      throw .mismatch(
        "collectives do not match: " + CollectiveDifference.text(texts, of: check.ranks),
        isSharedByAllRanks: check.coversAllRanks)
    }
  }

  /// Replaces `values` by their sums, once all ranks have agreed on that.
  public func sum<Element: Communicable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try agree(on: .allReduce, values.count, of: Element.kind, for: purpose)
    try inner.sum(&values, for: purpose)
  }

  /// Replaces `values` by their maximum over all ranks, once all ranks have agreed on that.
  public func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try agree(on: .maximum, values.count, of: Element.kind, for: purpose)
    try inner.maximum(&values, for: purpose)
  }

  /// Starts a nonblocking sum, once all ranks have agreed on that.
  public func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>
  {
    try agree(on: .begunAllReduce, addends.count, of: Element.kind, for: purpose)
    return try inner.beginSum(addends, for: purpose)
  }

  /// Merges triples, once all ranks have agreed on that.
  public func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose)
    throws(CommunicationError)
  {
    try agree(on: .mergeMoments, triples.count, of: .float64, for: purpose)
    try inner.mergeMoments(triples, for: purpose)
  }

  /// Gathers equally many values from each rank, once all ranks have agreed on that.
  public func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try agree(on: .allGather, values.count, of: Element.kind, for: purpose)
    try inner.allGather(values, into: gathered, for: purpose)
  }

  /// Sums and scatters, once all ranks have agreed on that.
  public func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError) {
    try agree(on: .reduceScatter, addends.count, of: Element.kind, for: purpose)
    try inner.reduceScatter(addends, into: block, for: purpose)
  }

  /// Replaces `values` by those of `root`, once all ranks have agreed on that.
  public func broadcast<Element: Communicable>(
    _ values: inout MutableSpan<Element>, from root: Int
  ) throws(CommunicationError) {
    try agree(on: .broadcast, values.count, of: Element.kind, root: root)
    try inner.broadcast(&values, from: root)
  }

  /// Gathers on `root`, once all ranks have agreed on that.
  public func gather<Element: Communicable>(_ values: [Element], to root: Int)
    throws(CommunicationError) -> [[Element]]?
  {
    try agree(on: .gather, values.count, of: Element.kind, root: root)
    return try inner.gather(values, to: root)
  }

  /// Gathers on every rank, once all ranks have agreed on that.
  public func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]
  {
    try agree(on: .allGatherOfAny, values.count, of: Element.kind)
    return try inner.allGather(values)
  }

  /// Returns once every rank has called it.
  public func barrier() throws(CommunicationError) {
    try agree(on: .barrier)
    try inner.barrier()
  }

  /// A communicator of the same ranks, checked together with this one.
  public func duplicate() throws(CommunicationError) -> any Communicator {
    try agree(on: .duplicate)
    return CheckedCommunicator(try inner.duplicate(), check)
  }

  /// A communicator of a part of the ranks, with checks of its own.
  public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
    try agree(on: .split)
    return try part(inner.split(color: color, key: key))
  }

  /// A communicator of this node's ranks.
  public func splitByNode() throws(CommunicationError) -> any Communicator {
    try agree(on: .splitByNode)
    return try part(inner.splitByNode())
  }

  private func part(_ inner: any Communicator) throws(CommunicationError) -> any Communicator {
    // A part that has all ranks goes on with the same checks.
    if inner.size == check.communicator.size { return CheckedCommunicator(inner, check) }
    return CheckedCommunicator(
      inner, try Check(try inner.duplicate(), rank: check.rank, coversAllRanks: false))
  }
}
