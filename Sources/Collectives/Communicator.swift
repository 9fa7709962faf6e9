public import LockstepFiles
public import LockstepTensors

/// A group of ranks that issue the same collectives in the same order.
///
/// All ranks of the group have to call every collective. Unless a method says otherwise, each rank
/// passes the same number of elements, of the same type. A communicator belongs to the thread that
/// made it.
///
/// The collectives of a training step take a purpose. Traffic is attributed by purpose, and ranks use it
/// to check that they are in the same collective. All other collectives are control traffic.
public protocol Communicator: AnyObject {
  /// This process's index, in `0 ..< size`.
  var rank: Int { get }
  /// The number of ranks in the group.
  var size: Int { get }
  /// Counts and records what goes through this communicator.
  var meter: TrafficMeter { get }
  /// Counts the messages by which ranks agree on every collective before they issue it; nil without such
  /// checks.
  var checks: TrafficMeter? { get }
  /// The name and version of the library that moves the data.
  var library: String { get }

  /// Replaces `values` on every rank by the element-wise sum over all ranks, with the same bits on
  /// every rank.
  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>, for purpose: Purpose)
    throws(CommunicationError)

  /// Replaces `values` on every rank by the element-wise maximum over all ranks.
  func maximum<Element: Communicable & Comparable>(
    _ values: inout MutableSpan<Element>, for purpose: Purpose
  ) throws(CommunicationError)

  /// Starts a nonblocking sum of `addends` over all ranks, and returns at once.
  ///
  /// The operation reads `addends` until it has completed, so write to them only after
  /// ``PendingSum/wait()``.
  func beginSum<Element: Communicable>(_ addends: Storage<Element>, for purpose: Purpose)
    throws(CommunicationError) -> PendingSum<Element>

  /// Replaces each channel's triple on every rank by the triple of all ranks' samples, with the same bits
  /// on every rank.
  func mergeMoments(_ triples: Storage<Double>, for purpose: Purpose) throws(CommunicationError)

  /// Gathers the values of every rank, equally many from each, into `gathered` in rank order on every rank.
  func allGather<Element: Communicable>(
    _ values: Storage<Element>, into gathered: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError)

  /// Sums `addends` over all ranks, and puts this rank's block of the sums into `block`.
  ///
  /// With P ranks the sums are cut into P equal blocks, and rank r gets block number r.
  func reduceScatter<Element: Communicable>(
    _ addends: Storage<Element>, into block: Storage<Element>, for purpose: Purpose
  ) throws(CommunicationError)

  /// Replaces `values` on every rank by those of `root`.
  func broadcast<Element: Communicable>(_ values: inout MutableSpan<Element>, from root: Int)
    throws(CommunicationError)

  /// Gathers every rank's values on `root`; ranks may give different numbers of values.
  ///
  /// - Returns: the values in rank order on `root`, nil elsewhere.
  func gather<Element: Communicable>(_ values: [Element], to root: Int) throws(CommunicationError)
    -> [[Element]]?

  /// Gathers every rank's values on every rank in rank order; ranks may give different numbers of values.
  func allGather<Element: Communicable>(_ values: [Element]) throws(CommunicationError)
    -> [[Element]]

  /// Returns once every rank has called it.
  func barrier() throws(CommunicationError)

  /// A communicator of the same ranks, whose messages are kept apart from this one's and which counts its
  /// own traffic.
  func duplicate() throws(CommunicationError) -> any Communicator

  /// The communicator of the ranks that give the same color, ordered by key, then by rank.
  func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator

  /// The communicator of this node's ranks, which share memory.
  func splitByNode() throws(CommunicationError) -> any Communicator
}

/// A scalar that every backend can send and add.
public protocol Communicable: BitwiseCopyable, Sendable, AdditiveArithmetic {
  /// The scalar's type in the backends' terms.
  static var kind: ScalarKind { get }
}

/// The scalars that can be sent.
public enum ScalarKind: UInt8, BitwiseCopyable, Sendable {
  case float32, float64, int64, byte, bfloat16

  /// The size of one scalar, in bytes.
  public var byteCount: Int {
    switch self {
    case .float32: 4
    case .float64, .int64: 8
    case .bfloat16: 2
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

extension BFloat16: Communicable {
  /// Sent as it is, and rounded after every sum of two.
  public static var kind: ScalarKind { .bfloat16 }
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
  /// The collective in which the call failed, in words, if it was in one.
  public let collective: String?
  /// Whether all ranks throw this error at the same place.
  public let isSharedByAllRanks: Bool

  /// Describes a failed call.
  public init(
    call: String, code: Int32, reason: String, collective: String? = nil,
    isSharedByAllRanks: Bool = false
  ) {
    self.call = call
    self.code = code
    self.reason = reason
    self.collective = collective
    self.isSharedByAllRanks = isSharedByAllRanks
  }

  /// An error about ranks whose collectives do not match, as `reason` says in words.
  public static func mismatch(_ reason: String, isSharedByAllRanks: Bool) -> CommunicationError {
    CommunicationError(
      call: "", code: 0, reason: reason, isSharedByAllRanks: isSharedByAllRanks)
  }

  /// The call, its code, the collective and the library's message, or which ranks' collectives do not match.
  public var description: String {
    call.isEmpty
      ? reason : "\(call) failed (\(code))\(collective.map { " in \($0)" } ?? ""): \(reason)"
  }
}

extension Communicator {
  /// Nil, because only a communicator that checks its collectives has such a meter.
  public var checks: TrafficMeter? { nil }

  /// What moves data where there is no MPI.
  public var library: String { "one process without MPI" }

  /// The traffic through this communicator so far.
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

  /// Replaces every element of `values` by its maximum over all ranks.
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

  /// Gathers the values of every rank, equally many from each, as control traffic.
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

  /// Replaces `values` on every rank by those of `root`; all ranks pass equally many.
  public func broadcast<Element: Communicable>(_ values: inout [Element], from root: Int)
    throws(CommunicationError)
  {
    var span = values.mutableSpan
    try broadcast(&span, from: root)
  }

  /// Returns the text of `root` on every rank.
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
