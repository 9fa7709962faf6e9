public import LockstepFiles
public import LockstepTensors

/// A group of ranks that issue the same collectives in the same order.
///
/// Every collective has to be called by all ranks of the group, with as many elements of the
/// same type on each where nothing else is said. A communicator belongs to the thread that
/// made it.
///
/// The collectives of a training step are told their purpose, by which traffic is attributed and ranks
/// check that they have come to the same one; the others are control traffic.
public protocol Communicator: AnyObject {
  /// This process's index, in `0 ..< size`.
  var rank: Int { get }
  /// The number of ranks in the group.
  var size: Int { get }
  /// Counts and records what goes through this communicator.
  var meter: TrafficMeter { get }
  /// Counts the messages by which ranks agree on every collective before it goes out; nil where they do
  /// not.
  var checks: TrafficMeter? { get }

  /// Replaces `values` on every rank by its element-wise sum over all ranks: the same bits on
  /// every rank.
  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>, for purpose: Purpose)
    throws(CommunicationError)

  /// Replaces `values` on every rank by the element-wise largest of all ranks.
  func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError)

  /// Starts a sum of `addends` over all ranks and returns at once.
  ///
  /// `addends` are read until the operation has completed: write to them only after
  /// ``PendingSum/wait()``.
  func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>

  /// Replaces the triples of all channels in `triples` on every rank by those of all ranks' samples:
  /// the same bits on every rank.
  func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose) throws(CommunicationError)

  /// Collects the values of every rank, as many on each, in rank order in `gathered` on every rank.
  func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError)

  /// Sums `addends` over all ranks and puts this rank's block of the sums into `block`: with P ranks the
  /// part of one P-th at this rank's place.
  func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError)

  /// Replaces `values` on every rank by those of `root`.
  func broadcast<Element: Communicable>(_ values: inout MutableSpan<Element>, from root: Int)
    throws(CommunicationError)

  /// Collects every rank's values, whose number may differ.
  ///
  /// - Returns: the values in rank order on `root`, nil elsewhere.
  func gather<Element: Communicable>(_ values: [Element], to root: Int) throws(CommunicationError)
    -> [[Element]]?

  /// Collects every rank's values, whose number may differ, on every rank in rank order.
  func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]

  /// Returns once every rank has called it.
  func barrier() throws(CommunicationError)

  /// A communicator of the same ranks whose messages cannot be mistaken for this one's, with a
  /// count of its own.
  func duplicate() throws(CommunicationError) -> any Communicator

  /// The communicator of the ranks that give the same color, ordered by key, then by rank.
  func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator

  /// The communicator of the ranks that share this rank's memory: those of one node.
  func splitByNode() throws(CommunicationError) -> any Communicator
}

/// A scalar that every backend can send and add.
public protocol Communicable: BitwiseCopyable, Sendable, AdditiveArithmetic {
  /// The scalar's type in the backends' terms.
  static var kind: ScalarKind { get }
}

/// The scalars that can be sent.
public enum ScalarKind: UInt8, BitwiseCopyable, Sendable {
  case float32, float64, int64, byte

  /// The size of one.
  public var byteCount: Int {
    switch self {
    case .float32: 4
    case .float64, .int64: 8
    case .byte: 1
    }
  }
}

extension Float: Communicable {
  /// Sent as it is.
  public static var kind: ScalarKind { .float32 }
}

extension Double: Communicable {
  /// Sent as it is.
  public static var kind: ScalarKind { .float64 }
}

extension Int64: Communicable {
  /// Sent as it is.
  public static var kind: ScalarKind { .int64 }
}

extension UInt8: Communicable {
  /// Sent as it is.
  public static var kind: ScalarKind { .byte }
}

/// A failed call into the communication library, a rank that is gone, or ranks whose collectives do not
/// match.
public struct CommunicationError: ProgramError, Hashable, Sendable {
  /// The run failed.
  public var exitStatus: Int32 { ExitStatus.failed }

  /// The library function that failed, such as `"MPI_Allreduce"`.
  public let call: String
  /// The library's own code.
  public let code: Int32
  /// The library's own message.
  public let reason: String
  /// Whether all ranks throw it, in the same place.
  public let isSharedByAllRanks: Bool

  /// Describes a failed call.
  public init(call: String, code: Int32, reason: String, isSharedByAllRanks: Bool = false) {
    self.call = call
    self.code = code
    self.reason = reason
    self.isSharedByAllRanks = isSharedByAllRanks
  }

  /// Ranks whose collectives do not match, in words.
  public static func mismatch(_ reason: String, isSharedByAllRanks: Bool) -> CommunicationError {
    CommunicationError(
      call: "", code: 0, reason: reason, isSharedByAllRanks: isSharedByAllRanks)
  }

  /// The call, its code and the library's message; of collectives that do not match, the ranks.
  public var description: String {
    call.isEmpty ? reason : "\(call) failed (\(code)): \(reason)"
  }
}

extension Communicator {
  /// Nothing: only a communicator that checks has it.
  public var checks: TrafficMeter? { nil }

  /// What went through this communicator so far.
  public var traffic: Traffic { meter.traffic }

  /// Replaces every element of `values` by its sum over all ranks.
  public func sum<Element: Communicable>(
    _ values: inout [Element], for purpose: Purpose = .control
  ) throws(CommunicationError) {
    var span = values.mutableSpan
    try sum(&span, for: purpose)
  }

  /// Replaces every element of `values` by its sum over all ranks, as control traffic.
  public func sum<Element: Communicable>(_ values: inout MutableSpan<Element>)
    throws(CommunicationError)
  {
    try sum(&values, for: .control)
  }

  /// Replaces every element of `values` by the largest of all ranks.
  public func maximum<Element: Communicable & Comparable>(
    _ values: inout [Element], for purpose: Purpose = .control
  ) throws(CommunicationError) {
    var span = values.mutableSpan
    try maximum(&span, for: purpose)
  }

  /// The largest `value` of all ranks.
  public func maximum<Element: Communicable & Comparable>(
    _ value: Element, for purpose: Purpose = .control
  ) throws(CommunicationError) -> Element {
    var values = [value]
    try maximum(&values, for: purpose)
    return values[0]
  }

  /// Starts a sum of `addends` over all ranks, as control traffic.
  public func beginSum<Element: Communicable>(_ addends: Storage<Element>)
    throws(CommunicationError) -> PendingSum<Element>
  {
    try beginSum(addends, for: .control)
  }

  /// Merges the triples of all ranks' samples, as control traffic.
  public func mergeMoments(_ triples: Storage<Double>) throws(CommunicationError) {
    try mergeMoments(triples, for: .control)
  }

  /// Collects the values of every rank, as many on each, as control traffic.
  public func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>
  ) throws(CommunicationError) {
    try allGather(values, into: gathered, for: .control)
  }

  /// Puts this rank's block of the sums into `block`, as control traffic.
  public func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>
  ) throws(CommunicationError) {
    try reduceScatter(addends, into: block, for: .control)
  }

  /// Replaces every element of `values`, as many on each rank, by those of `root`.
  public func broadcast<Element: Communicable>(_ values: inout [Element], from root: Int)
    throws(CommunicationError)
  {
    var span = values.mutableSpan
    try broadcast(&span, from: root)
  }

  /// The text that `root` gives, on every rank.
  public func broadcast(_ text: String, from root: Int) throws(CommunicationError) -> String {
    var length = [Int64(text.utf8.count)]
    try broadcast(&length, from: root)
    var bytes = rank == root ? Array(text.utf8) : Array(repeating: 0, count: Int(length[0]))
    try broadcast(&bytes, from: root)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Every rank's text, in rank order, on every rank.
  public func allGather(_ text: String) throws(CommunicationError) -> [String] {
    try allGather(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }
}
