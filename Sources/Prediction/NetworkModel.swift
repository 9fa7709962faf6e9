import Foundation
public import LockstepCollectives

/// What all-reduces cost on a cluster, with one fabric between nodes and another within them.
public struct NetworkModel: Sendable {
  /// The fabric between nodes.
  public let fabric: Fabric
  /// The library, which chooses the algorithms.
  public let library: MPILibrary
  /// The number of ranks on a node, and the fabric within it; nil for one rank per node.
  ///
  /// With several ranks per node, an all-reduce has two levels. The ranks of a node reduce to one of them,
  /// which takes part in an all-reduce between the nodes and gives the result back.
  public let node: (ranks: Int, fabric: Fabric)?

  /// A network with one rank per node, or with nodes as `node` says.
  public init(_ fabric: Fabric, library: MPILibrary, node: (ranks: Int, fabric: Fabric)? = nil) {
    (self.fabric, self.library, self.node) = (fabric, library, node)
  }

  /// The cost of one all-reduce.
  public struct Cost: Sendable {
    /// From the last rank's arrival to the end, in microseconds.
    public var microseconds: Double
    /// The part of it for which the link is occupied: the time beyond that of the smallest message.
    public var occupied: Double
    /// The algorithm in words.
    public var algorithm: String
  }

  /// The smallest message in bytes, one float64.
  private static let smallest = 8

  /// The cost of an all-reduce of `bytes` per rank, over `ranks` ranks of a world of `world` ranks.
  public func allReduce(bytes: Int, ranks: Int, world: Int, blocking: Bool) -> Cost {
    guard ranks > 1 else { return Cost(microseconds: 0, occupied: 0, algorithm: "none") }
    guard let node, node.ranks > 1 else {
      return cost(fabric, bytes: bytes, ranks: ranks, world: world, blocking: blocking)
    }
    let inside = min(ranks, node.ranks)
    guard ranks > inside else {
      return cost(node.fabric, bytes: bytes, ranks: ranks, world: world, blocking: blocking)
    }
    var result = cost(
      fabric, bytes: bytes, ranks: (ranks + inside - 1) / inside, world: world, blocking: blocking)
    result.microseconds += time(
      node.fabric, .tree, bytes: bytes, ranks: inside, blocking: blocking)
    result.algorithm = "two-level, \(result.algorithm) between nodes"
    return result
  }

  private func cost(_ fabric: Fabric, bytes: Int, ranks: Int, world: Int, blocking: Bool) -> Cost {
    let algorithm = AllReduceAlgorithm.chosen(
      by: library, bytes: bytes, ranks: ranks, world: world, blocking: blocking)
    let all = time(fabric, algorithm, bytes: bytes, ranks: ranks, blocking: blocking)
    let least = time(
      fabric,
      .chosen(by: library, bytes: Self.smallest, ranks: ranks, world: world, blocking: blocking),
      bytes: Self.smallest, ranks: ranks, blocking: blocking)
    return Cost(
      microseconds: all, occupied: max(0, all - least), algorithm: algorithm.rawValue)
  }

  /// The model's time, corrected by what was measured for similar sizes and numbers of ranks.
  private func time(
    _ fabric: Fabric, _ algorithm: AllReduceAlgorithm, bytes: Int, ranks: Int, blocking: Bool
  ) -> Double {
    fabric.time(algorithm, bytes: bytes, ranks: ranks)
      * correction(fabric, bytes: bytes, ranks: ranks, blocking: blocking)
  }

  /// The measured time divided by the model's; 1 if nothing was measured.
  ///
  /// It is taken at the largest measured number of ranks up to `ranks`, or at the smallest if all are
  /// larger. It is interpolated between the measured sizes.
  private func correction(_ fabric: Fabric, bytes: Int, ranks: Int, blocking: Bool) -> Double {
    let points = fabric.points ?? []
    guard
      let nearest = points.map(\.ranks).filter({ $0 <= ranks }).max() ?? points.map(\.ranks).min()
    else { return 1 }
    let ratios = points.filter { $0.ranks == nearest }.map { point in
      let algorithm = AllReduceAlgorithm.chosen(
        by: library, bytes: point.bytes, ranks: nearest,
        world: max(fabric.ranks, nearest), blocking: blocking)
      let measured = blocking ? point.betweenMicroseconds : point.nonblockingMicroseconds
      return (
        size: log(Double(point.bytes)),
        ratio: measured / fabric.time(algorithm, bytes: point.bytes, ranks: nearest)
      )
    }
    let size = log(Double(max(bytes, 1)))
    guard let above = ratios.firstIndex(where: { $0.size >= size }), above > 0 else {
      return size <= ratios[0].size ? ratios[0].ratio : ratios[ratios.count - 1].ratio
    }
    let (a, b) = (ratios[above - 1], ratios[above])
    return a.ratio + (b.ratio - a.ratio) * (size - a.size) / (b.size - a.size)
  }
}

extension Fabric {
  /// T(n) of an algorithm, in microseconds, by α, β and γ alone.
  func time(_ algorithm: AllReduceAlgorithm, bytes: Int, ranks: Int) -> Double {
    // 1 Gbit/s is 125 bytes per microsecond, and 1 GB/s is 1,000.
    algorithm.cost(ranks: ranks).time(
      bytes: Double(bytes), alpha: latencyMicroseconds, beta: 1 / (125 * bandwidthGigabits),
      gamma: reductionGbPerSecond.map { 1e-3 / $0 } ?? 0)
  }
}
