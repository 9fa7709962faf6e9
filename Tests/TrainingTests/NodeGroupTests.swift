import Foundation
import LockstepAutograd
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors
import Testing

/// Thread ranks that lie on nodes as they are told.
private final class PlacedCommunicator: ForwardingCommunicator {
  let inner: any Communicator
  /// The node of each rank.
  private let nodes: [Int]

  init(_ inner: any Communicator, nodes: [Int]) { (self.inner, self.nodes) = (inner, nodes) }

  func forwarding(_ inner: any Communicator) -> any Communicator {
    PlacedCommunicator(inner, nodes: nodes)
  }

  func splitByNode() throws(CommunicationError) -> any Communicator {
    try inner.split(color: nodes[rank], key: rank)
  }
}

/// Statistics over the ranks of a node, wherever ranks lie.
@Suite struct NodeGroupTests {
  /// What each rank says of a network whose norms have one value a sample.
  private func messages(nodes: [Int], batch: Int) throws -> [String] {
    let run = try RunConfiguration(
      yaml: """
        model: {kind: mlp, hidden: [4], norm: {kind: sync-batch, statisticsGroup: node}}
        data: {kind: synthetic, imageSize: 2, channels: 1, classes: 3, samples: 24}
        batch: \(batch)
        steps: 1
        optimizer: {kind: sgd, learningRate: 0.1}
        """, name: "run.yaml")
    let data = try run.loadData()
    return try withThreadRanks(nodes.count) { world in
      let context = try RankContext(PlacedCommunicator(world, nodes: nodes))
      do {
        _ = try TrainingRun(run, data: data, context: context).step()
        return ""
      } catch { return "\(error)" }
    }
  }

  @Test func sharesAreThoseOfTheRanksThatLieTogether() throws {
    // Of four samples, three ranks have one, one and two; of two, four ranks have none, one, none and one.
    for (nodes, batch) in [([0, 0, 1], 4), ([0, 1, 0, 1], 2)] {
      #expect(try messages(nodes: nodes, batch: batch).allSatisfy(\.isEmpty), "\(nodes)")
    }
    for (nodes, batch, who) in [([0, 0, 1], 3, "rank 2"), ([0, 1, 1, 0], 2, "ranks 0, 3")] {
      let messages = try messages(nodes: nodes, batch: batch)
      #expect(
        messages.allSatisfy { $0.contains("\(who) would have one sample of a batch of \(batch)") },
        "\(messages)")
    }
  }

  /// Every rank's running statistics.
  private func statistics(_ run: TrainingRun) -> [Float] {
    run.model.buffers.flatMap(\.value.elements)
  }

  @Test func ranksThatLieOtherwiseGoOnWithTheSameStatistics() throws {
    let run = try smallRun(.syncBatch, steps: 6, extra: ["model.norm.statisticsGroup=node"])
    let data = try run.loadData()
    func train(_ nodes: [Int], from checkpoint: Data?) throws -> [(
      begin: [Float], end: [Float], checkpoint: Data?
    )] {
      try withThreadRanks(4) { world in
        let context = try RankContext(PlacedCommunicator(world, nodes: nodes))
        let replica = try TrainingRun(run, data: data, context: context)
        if checkpoint != nil {
          try replica.restore(
            context.rank == 0 ? checkpoint.map { try Checkpoint($0, path: "memory") } : nil)
        }
        let begin = statistics(replica)
        for _ in 0..<3 { _ = try replica.step() }
        return (begin, statistics(replica), try replica.checkpoint()?.encoded())
      }
    }
    let first = try train([0, 0, 1, 1], from: nil)
    #expect(first[0].end == first[1].end && first[2].end == first[3].end)
    #expect(first[0].end != first[2].end)
    let same = try train([0, 0, 1, 1], from: first[0].checkpoint)
    #expect(same.map(\.begin) == first.map(\.end))
    let other = try train([0, 1, 0, 1], from: first[0].checkpoint)
    #expect(other.allSatisfy { $0.begin == first[0].end })
    #expect(other[0].end == other[2].end && other[1].end == other[3].end)
  }
}
