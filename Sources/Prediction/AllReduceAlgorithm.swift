import Foundation
public import LockstepCollectives

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
  /// - Open MPI 4.1 and 5.0, blocking (`coll_tuned_decision_fixed.c`): recursive doubling below 8 KiB, and
  ///   Rabenseifner's above. Its table differs from this at some numbers of ranks.
  /// - Open MPI, nonblocking (`nbc_iallreduce.c`): a tree below 64 KiB, and Rabenseifner's above. In
  ///   worlds below 4 ranks Lockstep asks for recursive doubling.
  /// - MPICH 4 and 5 (`maint/tuning/coll/mpir/generic.json`; the algorithms are those of Thakur,
  ///   Rabenseifner & Gropp, 2005, section 4.5): recursive doubling up to 8 bytes, or 2 KiB where it is
  ///   nonblocking, and for fewer elements than ranks; else Rabenseifner's. A program's own operations, as
  ///   `welford` and bfloat16 gradients need, always take recursive doubling; that is left out here. Within
  ///   a node it may reduce in shared memory, whose times only a measured fabric knows.
  /// - Of Intel MPI and others it is not known. They are taken for MPICH.
  public static func chosen(
    by library: MPILibrary, bytes: Int, ranks: Int, world: Int, blocking: Bool
  ) -> AllReduceAlgorithm {
    switch library {
    case .openMPI where blocking: bytes < 8192 ? .recursiveDoubling : .recursiveHalving
    case .openMPI where world < 4: .recursiveDoubling
    // Below 4 ranks it has only the tree.
    case .openMPI where ranks < 4: .tree
    case .openMPI: bytes < 65536 ? .tree : .recursiveHalving
    case .mpich, .intel, .other:
      bytes <= (blocking ? 8 : 2048) || bytes / 8 < powerOfTwo(upTo: ranks)
        ? .recursiveDoubling : .recursiveHalving
    }
  }

  /// The largest power of two that is not larger than `ranks`.
  private static func powerOfTwo(upTo ranks: Int) -> Int {
    1 << (Int.bitWidth - 1 - max(ranks, 1).leadingZeroBitCount)
  }
}

extension MPILibrary {
  /// Whose choice of algorithms a prediction assumes, in words.
  package var algorithmsText: String {
    publishesItsAlgorithms
      ? "algorithms as \(name) chooses them"
      : "how \(name) chooses algorithms is unknown; MPICH's choice is assumed"
  }
}
