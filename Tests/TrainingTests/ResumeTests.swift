import Foundation
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepNorms
import LockstepRuns
import LockstepSafetensors
import LockstepTensors
import LockstepTraining
import Testing

/// A run that was interrupted takes the course of one that was not.
@Suite struct ResumeTests {
  /// What a run did.
  private struct Course: Sendable {
    var losses: [Double] = []
    var evaluations: [Evaluation] = []
    /// The last checkpoint, on rank 0.
    var checkpoint: Data?
  }

  /// Trains to the end, begun anew after each step of `stops` from nothing but the bytes of a
  /// checkpoint, on as many ranks as `ranks` says of each part.
  private func course(_ run: RunConfiguration, ranks: [Int], stops: [Int] = []) throws -> Course {
    let data = try run.loadData()
    var course = Course()
    for (part, stop) in (stops.map(Optional.some) + [nil]).enumerated() {
      let begin = course
      course = try withThreadRanks(ranks[part % ranks.count]) { world in
        var course = begin
        let context = try RankContext(world)
        let replica = try TrainingRun(run, data: data, context: context)
        if part > 0 {
          try replica.restore(
            context.rank == 0 ? course.checkpoint.map { try Checkpoint($0, path: "memory") } : nil)
        }
        let summary = try train(
          replica, ranks: context.size,
          // One rank's wish is enough.
          asking: {
            StepRequests(stop: context.rank == context.size - 1 && replica.stepsTaken + 1 == stop)
          },
          onStep: { course.losses.append($0.loss) },
          onEvaluation: { evaluation, _ in course.evaluations.append(evaluation) },
          onCheckpoint: { isDue, _ in
            if isDue { course.checkpoint = try replica.checkpoint()?.encoded() }
          })
        #expect((summary == nil) == (stop != nil) && replica.stepsTaken == stop ?? run.steps)
        return course
      }[0]
    }
    return course
  }

  /// Norms whose statistics are each rank's own, optimizers, and every kind of randomness.
  ///
  /// An epoch has six steps, the last of them on three samples.
  static let cases = [
    ["model.norm.kind=sync-batch"],
    ["model.norm.kind=batch"],
    ["model.norm.kind=batch", "model.norm.momentum=null", "evaluate={everySteps: 3}"],
    ["model.norm.kind=batch-renorm", "evaluate={everySteps: 4}"],
    ["model.norm.kind=sync-batch", "model.norm.statisticsGroup=1"],
    ["optimizer={kind: adamw, learningRate: 0.01}"],
    ["optimizer={kind: sgd, learningRate: 0.05, momentum: 0.9, nesterov: true}", "accumulate=2"],
    ["optimizer={kind: sgd, learningRate: 0.05}", "gradientNormalization=layer"],
    ["data.augment={crop: 2, flip: true}", "schedule={warmupSteps: 9, decay: cosine}"],
    ["model.activation=relu", "clipNorm=0.5", "model.weightNorm=true"],
    [
      "model={kind: transformer, context: 12, width: 16, heads: 2, layers: 2, dropout: 0.2, "
        + "norm: {kind: layer}}", "data={kind: arithmetic, digits: 2, samples: 38}",
      "optimizer={kind: adamw, learningRate: 0.01}",
    ],
    [
      "model={kind: ngpt, context: 12, width: 16, heads: 2, layers: 2}",
      "data={kind: arithmetic, digits: 2, samples: 38}",
    ],
  ]

  @Test(arguments: cases, [1, 3])
  func bitsAreThoseOfTheRunThatWasNeverInterrupted(settings: [String], ranks: Int) throws {
    let run = try smallRun(.layer, steps: 14, extra: settings)
    let whole = try course(run, ranks: [ranks])
    // In the middle of an epoch, at its end, and where an evaluation is due.
    for stops in [[4], [6], [1, 8, 12, 13]] {
      let parts = try course(run, ranks: [ranks], stops: stops)
      #expect(parts.losses == whole.losses, "after \(stops)")
      #expect(parts.checkpoint == whole.checkpoint, "after \(stops)")
      #expect(parts.evaluations == whole.evaluations, "after \(stops)")
    }
  }

  @Test(arguments: [NormKind.syncBatch, .layer, .group])
  func anotherNumberOfRanksChangesNothingButRounding(norm: NormKind) throws {
    let run = try smallRun(norm, steps: 24)
    let whole = try course(run, ranks: [1])
    for ranks in [[2, 3], [4, 1], [1, 2, 4]] {
      let parts = try course(run, ranks: ranks, stops: ranks.count == 2 ? [11] : [5, 17])
      #expect(parts.losses.count == 24)
      #expect(difference(parts.losses, whole.losses) < 1e-4, "\(ranks)")
    }
  }

  /// The opposite of the above: without the state of each part bits do change.
  @Test(arguments: ["lockstep.optimizer.first.fc.weight", "bn1.running_mean", "fc.bias"])
  func everyPartOfTheStateMatters(name: String) throws {
    // Running statistics take part in training under batch renormalization alone.
    let run = try smallRun(name.hasPrefix("bn1") ? .batchRenorm : .syncBatch, steps: 8)
    let data = try run.loadData()
    let replica = try TrainingRun(run, data: data, context: RankContext(Solo()))
    for _ in 0..<4 { _ = try replica.step() }
    let state = try #require(try replica.checkpoint())
    func loss(_ checkpoint: Checkpoint) throws -> [Double] {
      let other = try TrainingRun(run, data: data, context: RankContext(Solo()))
      try other.restore(checkpoint)
      return try (0..<4).map { _ in try other.step().loss }
    }
    let expected = try loss(state)
    guard case .float32(let tensor)? = state.tensors[name] else {
      Issue.record("no \(name)")
      return
    }
    let before = tensor.elements
    tensor.write(before.map { $0 + 0.01 })
    #expect(try loss(state) != expected)
    tensor.write(before)
    #expect(try loss(state) == expected)
  }

  @Test func aCheckpointChangesNothing() throws {
    let run = try smallRun(.batch, steps: 9)
    let often = try smallRun(.batch, steps: 9, extra: ["checkpoint={everySteps: 1}"])
    let (a, b) = (try course(run, ranks: [3]), try course(often, ranks: [3]))
    #expect(a.losses == b.losses && a.evaluations == b.evaluations)
  }

  @Test func ranksHaveStatisticsOfTheirOwnInACheckpoint() throws {
    let run = try smallRun(.batch, steps: 3)
    let data = try #require(try course(run, ranks: [3]).checkpoint)
    let checkpoint = try Checkpoint(data, path: "memory")
    #expect(checkpoint.step == 3 && checkpoint.ranks == 3)
    let means = try (0..<3).map { rank -> [Float] in
      guard case .float32(let mean)? = checkpoint.tensors["lockstep.rank.\(rank).bn1.running_mean"]
      else { throw StateErrorInTest() }
      return mean.elements
    }
    #expect(Set(means).count == 3)
    guard case .float32(let first)? = checkpoint.model["bn1.running_mean"] else {
      throw StateErrorInTest()
    }
    #expect(first.elements == means[0])
    #expect(checkpoint.model.keys.allSatisfy { !$0.hasPrefix("lockstep.") })
  }

  private struct StateErrorInTest: Error {}

  @Test func aCheckpointOfAnotherModelIsRefusedOnAllRanks() throws {
    let small = try smallRun(.layer, steps: 2)
    let bytes = try #require(try course(small, ranks: [2]).checkpoint)
    let other = try smallRun(.syncBatch, steps: 2)
    let data = try other.loadData()
    let messages = try withThreadRanks(3) { world -> String in
      let replica = try TrainingRun(other, data: data, context: RankContext(world))
      do {
        try replica.restore(world.rank == 0 ? Checkpoint(bytes, path: "memory") : nil)
        return "nothing was wrong"
      } catch {
        return "\(error)"
      }
    }
    #expect(messages.allSatisfy { $0 == messages[0] && $0.contains("running_mean") }, "\(messages)")
  }
}

extension RunConfiguration {
  /// The number of steps, where it is given as such.
  fileprivate var steps: Int? { if case .steps(let steps) = length { steps } else { nil } }
}
