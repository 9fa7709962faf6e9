import Foundation

/// An algorithm by which a library performs an all-reduce.
public enum AllReduceAlgorithm: String, CaseIterable, Codable, Sendable {
  /// Every rank exchanges everything with ⌈log₂ p⌉ others, one after another.
  case recursiveDoubling = "recursive doubling"
  /// A binomial tree to one rank, and back.
  case tree = "reduce and broadcast"
  /// Rabenseifner's: halves are summed and scattered, then gathered.
  case recursiveHalving = "recursive halving and doubling"
  /// Parts go round all ranks twice.
  case ring

  /// The algorithm's cost on `ranks` ranks, two or more.
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

  /// What a library chooses for an all-reduce of `bytes` on `ranks` ranks of a world of `world` ranks.
  ///
  /// - Open MPI 4.1, blocking (`coll_tuned_decision_fixed.c`): recursive doubling below 8 KiB, and
  ///   Rabenseifner's above. Its table differs from this at some numbers of ranks.
  /// - Open MPI 4.1, nonblocking (`nbc_iallreduce.c`): a tree below 64 KiB, and Rabenseifner's above. In
  ///   worlds below 4 ranks Lockstep asks for recursive doubling.
  /// - MPICH, blocking or not: recursive doubling up to 2 KiB, and Rabenseifner's above (Thakur,
  ///   Rabenseifner & Gropp, 2005, section 4.5). Other libraries are taken for MPICH.
  public static func chosen(
    by library: MPILibrary, bytes: Int, ranks: Int, world: Int, blocking: Bool
  ) -> AllReduceAlgorithm {
    switch library {
    case .openMPI where blocking: bytes < 8192 ? .recursiveDoubling : .recursiveHalving
    case .openMPI where world < 4: .recursiveDoubling
    // Below 4 ranks it has only the tree.
    case .openMPI where ranks < 4: .tree
    case .openMPI: bytes < 65536 ? .tree : .recursiveHalving
    case .mpich: bytes <= 2048 ? .recursiveDoubling : .recursiveHalving
    }
  }
}

/// A family of MPI libraries that choose algorithms alike.
public enum MPILibrary: String, CaseIterable, Codable, Sendable {
  /// Open MPI.
  case openMPI = "openmpi"
  /// MPICH and those made from it.
  case mpich

  /// The family of the library that calls itself `version`.
  public init(version: String) { self = version.hasPrefix("Open MPI") ? .openMPI : .mpich }
}
