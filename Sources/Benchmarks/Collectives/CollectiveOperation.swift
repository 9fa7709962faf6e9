import LockstepCollectives
import LockstepDataParallel
public import LockstepNorms

/// An operation that `bench collectives` measures.
public enum CollectiveOperation: String, CaseIterable, Sendable {
  /// A blocking sum in place.
  case allReduce = "all-reduce"
  /// A nonblocking sum, waited for at once.
  case begunAllReduce = "all-reduce-begun"
  /// A broadcast from rank 0.
  case broadcast
  /// A gather of every rank's block on every rank.
  case allGather = "all-gather"
  /// A sum of which each rank gets only its own block.
  case reduceScatter = "reduce-scatter"
  /// A barrier, which has no bytes.
  case barrier
  /// The moments of a batch over all ranks, as sync-batch norm computes them, by
  /// ``StatisticsMerge/shiftedMoments``.
  case mergeShiftedMoments = "merge-shifted-moments"
  /// The moments of a batch by ``StatisticsMerge/welford``.
  case mergeWelford = "merge-welford"
  /// The moments of a batch by ``StatisticsMerge/allGather``.
  case mergeAllGather = "merge-all-gather"
  /// The moments of a batch by ``StatisticsMerge/twoPass``.
  case mergeTwoPass = "merge-two-pass"
  /// The moments of a batch by ``StatisticsMerge/float32Moments``.
  case mergeFloat32Moments = "merge-float32-moments"

  /// How the moments are merged; nil for other operations.
  public var merge: StatisticsMerge? {
    switch self {
    case .mergeShiftedMoments: .shiftedMoments
    case .mergeWelford: .welford
    case .mergeAllGather: .allGather
    case .mergeTwoPass: .twoPass
    case .mergeFloat32Moments: .float32Moments
    default: nil
    }
  }

  /// The ratio of the bytes that each rank's link carries in one direction to the operation's bytes; nil if
  /// there is no such number.
  ///
  /// - Source: NVIDIA, NCCL tests, "Performance reported by NCCL tests",
  ///   <https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md>.
  public func busFactor(ranks: Int) -> Double? {
    let p = Double(ranks)
    switch self {
    case .allReduce, .begunAllReduce: return 2 * (p - 1) / p
    case .allGather, .reduceScatter: return (p - 1) / p
    case .broadcast: return 1
    default: return nil
    }
  }

  /// The operation on about `bytes` bytes over the ranks of `communicator`, ready to run.
  func probe(
    of type: CollectiveElement, bytes: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    if let merge { return .moments(by: merge, bytes: bytes, over: communicator) }
    return switch type {
    case .float32: probe(of: Float.self, bytes: bytes, over: communicator)
    case .float64: probe(of: Double.self, bytes: bytes, over: communicator)
    }
  }

  private func probe<Element: Communicable & BinaryFloatingPoint>(
    of element: Element.Type, bytes: Int, over communicator: any Communicator
  ) -> CollectiveProbe {
    let count = max(1, bytes / MemoryLayout<Element>.stride)
    return switch self {
    case .allReduce: .allReduce(element, count: count, over: communicator)
    case .begunAllReduce: .begunAllReduce(element, count: count, over: communicator)
    case .broadcast: .broadcast(element, count: count, over: communicator)
    case .allGather: .allGather(element, count: count, over: communicator)
    case .reduceScatter: .reduceScatter(element, count: count, over: communicator)
    default: .barrier(over: communicator)
    }
  }
}

/// The type of the elements of a measured collective.
public enum CollectiveElement: String, CaseIterable, Sendable {
  /// Four bytes each.
  case float32
  /// Eight bytes each.
  case float64

  /// The bytes of an element.
  public var bytes: Int { self == .float32 ? 4 : 8 }
}
