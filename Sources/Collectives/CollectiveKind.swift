/// What a collective does, which has to be the same on all ranks.
public enum CollectiveKind: UInt8, BitwiseCopyable, Sendable {
  case allReduce, begunAllReduce, mergeMoments, allGather, reduceScatter, maximum, broadcast, gather
  /// An all-gather of arrays whose lengths may differ between ranks.
  case allGatherOfAny
  case barrier
  // These move no data, but ranks wait for each other in them.
  case duplicate, split, splitByNode, benchmark, finish

  /// Whether ranks may give different numbers of elements.
  var mayDifferInCount: Bool { self == .gather || self == .allGatherOfAny }

  /// Whether it moves elements.
  var movesData: Bool { rawValue < Self.barrier.rawValue }

  /// The operation's name in messages.
  public var name: String {
    switch self {
    case .allReduce: "all-reduce"
    case .maximum: "maximum"
    case .begunAllReduce: "nonblocking all-reduce"
    case .mergeMoments: "merge of moments"
    case .allGather, .allGatherOfAny: "all-gather"
    case .reduceScatter: "reduce-scatter"
    case .broadcast: "broadcast"
    case .gather: "gather"
    case .barrier: "barrier"
    case .duplicate: "duplication of a communicator"
    case .split: "split of a communicator"
    case .splitByNode: "split of a communicator by node"
    case .benchmark: "loop of a benchmark"
    case .finish: "end of MPI"
    }
  }
}
