import Foundation

/// How a library does an all-reduce.
public enum AllReduceAlgorithm: String, CaseIterable, Codable, Sendable {
  /// Every rank exchanges everything with ⌈log₂ p⌉ others, one after another.
  case recursiveDoubling = "recursive doubling"
  /// A binomial tree to one rank, and back.
  case tree = "reduce and broadcast"
  /// Rabenseifner's: halves are summed and scattered, then gathered.
  case recursiveHalving = "recursive halving and doubling"
  /// Parts go round all ranks twice.
  case ring

  /// What it costs on `ranks` ranks, two or more.
  public func cost(ranks: Int) -> AllReduceCost {
    let p = Double(ranks)
    let l = log2(p).rounded(.up)
    let share = (p - 1) / p
    return switch self {
    case .recursiveDoubling: AllReduceCost(messages: l, transfers: l, additions: l)
    case .tree: AllReduceCost(messages: 2 * l, transfers: 2 * l, additions: l)
    case .recursiveHalving:
      AllReduceCost(messages: 2 * l, transfers: 2 * share, additions: share)
    case .ring: AllReduceCost(messages: 2 * (p - 1), transfers: 2 * share, additions: share)
    }
  }

  /// What a library chooses for an all-reduce of `bytes` on `ranks` ranks of a world of `world`.
  ///
  /// Open MPI 4.1 (`coll_tuned_decision_fixed.c`, `nbc_iallreduce.c`): blocking, recursive doubling below
  /// 8 KiB and Rabenseifner's above, of a table that changes it at some numbers of ranks; non-blocking,
  /// a tree below 64 KiB and Rabenseifner's above, but recursive doubling in worlds below 4 ranks, where
  /// Lockstep asks for it. MPICH: recursive doubling up to 2 KiB
  /// and Rabenseifner's above (Thakur, Rabenseifner & Gropp, 2005, section 4.5), blocking or not. Others
  /// are taken for MPICH.
  public static func chosen(
    by library: MPILibrary, bytes: Int, ranks: Int, world: Int, blocking: Bool
  ) -> AllReduceAlgorithm {
    switch library {
    case .openMPI where blocking: bytes < 8192 ? .recursiveDoubling : .recursiveHalving
    case .openMPI where world < 4: .recursiveDoubling
    // Below 4 ranks it knows nothing but the tree.
    case .openMPI where ranks < 4: .tree
    case .openMPI: bytes < 65536 ? .tree : .recursiveHalving
    case .mpich: bytes <= 2048 ? .recursiveDoubling : .recursiveHalving
    }
  }
}

/// A family of MPI libraries, by how it chooses algorithms.
public enum MPILibrary: String, CaseIterable, Codable, Sendable {
  /// Open MPI.
  case openMPI = "openmpi"
  /// MPICH and those made from it.
  case mpich

  /// The family of the library that calls itself `version`.
  public init(version: String) { self = version.hasPrefix("Open MPI") ? .openMPI : .mpich }
}
