import LockstepAutograd
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepSafetensors
import LockstepTensors
import LockstepTraining
import Testing

/// P ranks compute what one rank computes on the whole batch.
@Suite struct RankCountTests {
  /// With batch-renorm norm's statistics synchronized.
  static let invariant: [NormKind] = [
    .syncBatch, .batchRenorm, .whitening, .layer, .rms, .group, .instance, .scale, .l2, .none,
  ]
  static let synchronized = "model.norm.synchronized=true"

  @Test(arguments: invariant)
  func lossesOfASmoothNetworkDoNotDependOnTheNumberOfRanks(norm: NormKind) throws {
    let run = try smallRun(norm, extra: [Self.synchronized])
    let alone = try trained(run, ranks: 1)[0].losses
    #expect(alone.count == 50)
    for ranks in 2...4 {
      let losses = try trained(run, ranks: ranks)[0].losses
      #expect(difference(losses, alone) < 1e-4, "\(ranks) ranks")
    }
  }

  @Test(arguments: StatisticsMerge.allCases)
  func lossesDoNotDependOnTheNumberOfRanksHoweverStatisticsAreMerged(merge: StatisticsMerge) throws
  {
    let run = try smallRun(.syncBatch, extra: ["model.norm.merge=\(merge.rawValue)"])
    let alone = try trained(run, ranks: 1)[0].losses
    for ranks in 2...3 {
      let others = try trained(run, ranks: ranks)
      #expect(difference(others[0].losses, alone) < 1e-4, "\(ranks) ranks")
      #expect(others.allSatisfy { $0.digests == others[0].digests }, "the same bits on all")
    }
  }

  /// Over one rank the two are one norm, but only the first puts weight gradients off.
  @Test(arguments: [["model.weightNorm=true"], []])
  func weightGradientsThatArePutOffAreTheSame(extra: [String]) throws {
    let late = try trained(smallRun(.syncBatch, steps: 12, extra: extra), ranks: 1)[0]
    let atOnce = try trained(smallRun(.batch, steps: 12, extra: extra), ranks: 1)[0]
    #expect(difference(late.losses, atOnce.losses) < 1e-4)
  }

  @Test(arguments: [NormKind.syncBatch, .batchRenorm, .whitening], [1, 3])
  func overlapChangesNoBit(norm: NormKind, ranks: Int) throws {
    let runs = try [true, false].map {
      try trained(
        smallRun(norm, steps: 8, extra: [Self.synchronized, "model.norm.overlap=\($0)"]),
        ranks: ranks)[0]
    }
    #expect(runs[0].digests == runs[1].digests && runs[0].losses == runs[1].losses)
    for (a, b) in zip(runs[0].steps, runs[1].steps) {
      #expect(a.statistics.collectives == b.statistics.collectives)
      #expect(a.statistics.bytes == b.statistics.bytes)
    }
  }

  @Test(arguments: [NormKind.batch, .batchRenorm])
  func perRankBatchStatisticsDoDependOnTheNumberOfRanks(norm: NormKind) throws {
    let run = try smallRun(norm)
    let alone = try trained(run, ranks: 1)[0].losses
    for ranks in 2...4 {
      #expect(difference(try trained(run, ranks: ranks)[0].losses, alone) > 1e-3, "\(ranks) ranks")
    }
  }

  /// A ReLU network is not smooth: rounding parts two runs, so each step starts from the same
  /// parameters.
  @Test(arguments: invariant, [2, 3, 4])
  func aStepOfAReLUNetworkDoesNotDependOnTheNumberOfRanks(norm: NormKind, ranks: Int) throws {
    var state: StateDictionary?
    for seed in 1...6 {
      let run = try smallRun(norm, activation: "relu", extra: ["seed=\(seed)", Self.synchronized])
      let data = try run.loadData()
      let begin = state
      @Sendable func step(_ world: any Communicator) throws -> (Double, StateDictionary) {
        let replica = try TrainingRun(
          run, data: data, context: RankContext(world), initialState: begin)
        return (try replica.step().loss, try replica.state())
      }
      let (loss, after) = try withThreadRanks(1) { try step($0) }[0]
      for (otherLoss, other) in try withThreadRanks(ranks, { try step($0) }) {
        #expect(abs(otherLoss - loss) <= 1e-5 * max(1, abs(loss)))
        for (name, value) in after.tensors {
          guard case .float32(let a) = value, case .float32(let b)? = other.tensors[name] else {
            continue
          }
          let worst = zip(a.elements, b.elements).map { abs($0 - $1) / max(1, abs($0)) }.max() ?? 0
          #expect(worst <= 1e-5, "\(name) after seed \(seed): \(worst)")
        }
      }
      state = after
    }
  }

  @Test(arguments: [NormKind.batch, .syncBatch, .layer, .group, .scale])
  func allRanksHoldTheSameBitsAfterEveryStepAndTwoRunsAreTheSame(norm: NormKind) throws {
    let run = try smallRun(norm, activation: "relu", steps: 20)
    let first = try trained(run, ranks: 3)
    for rank in 1..<3 {
      #expect(first[rank].digests == first[0].digests, "rank \(rank)")
      #expect(first[rank].losses == first[0].losses, "rank \(rank)")
    }
    #expect(Set(first[0].digests).count == 20)
    #expect(try trained(run, ranks: 3)[0].digests == first[0].digests)
  }

  @Test func accumulationChangesNothingButRoundingAndSendsGradientsOnce() throws {
    let whole = try trained(try smallRun(.layer), ranks: 2)[0]
    let parts = try trained(try smallRun(.layer, extra: ["accumulate=3"]), ranks: 2)[0]
    #expect(difference(parts.losses, whole.losses) < 1e-4)
    let collectives = zip(parts.steps, whole.steps).map {
      ($0.gradients.collectives, $1.gradients.collectives)
    }
    #expect(collectives.allSatisfy { $0 == $1 && $0 > 0 })
  }

  @Test func statisticsTravelInEveryMicroBatch() throws {
    let run = try smallRun(.syncBatch, steps: 4, extra: ["accumulate=3"])
    let sites = 6
    #expect(
      try trained(run, ranks: 2)[0].steps.allSatisfy {
        $0.statistics.collectives == 3 * 2 * sites
      })
  }

  @Test func overlapChangesNoBit() throws {
    let small = ["parallel.firstBucketMegabytes=0.001", "parallel.bucketMegabytes=0.005"]
    let with = try trained(try smallRun(.syncBatch, steps: 12, extra: small), ranks: 3)[0]
    let without = try trained(
      try smallRun(.syncBatch, steps: 12, extra: small + ["parallel.overlap=false"]), ranks: 3)[0]
    #expect(with.digests == without.digests)
    #expect(with.steps[0].gradients.collectives > 2)
  }

  @Test func augmentationFollowsTheSampleNotTheRank() throws {
    let augment = ["data.augment={crop: 2, flip: true}"]
    let alone = try trained(try smallRun(.layer, extra: augment), ranks: 1)[0].losses
    let three = try trained(try smallRun(.layer, extra: augment), ranks: 3)[0].losses
    #expect(difference(three, alone) < 1e-4)
    #expect(difference(alone, try trained(try smallRun(.layer), ranks: 1)[0].losses) > 1e-3)
  }

  /// How many samples are evaluated at once follows the batch; the sums do not.
  @Test func anEvaluationDoesNotDependOnTheBatch() throws {
    func evaluations(_ extra: [String], ranks: Int) throws -> [Evaluation] {
      let run = try smallRun(.syncBatch, extra: extra)
      let data = try run.loadData()
      return try withThreadRanks(ranks) { world in
        try TrainingRun(run, data: data, context: RankContext(world)).evaluate()
      }
    }
    let whole = try evaluations(["batch=38"], ranks: 1)[0]
    #expect(whole.loss.isFinite && whole.loss > 0)
    for extra in [["batch=7"], ["batch=2"], ["batch=8", "accumulate=4"], ["batch=1"]] {
      let found = try evaluations(extra, ranks: 1)[0]
      // A product of one row alone is rounded otherwise.
      #expect(abs(found.loss - whole.loss) < 1e-6 && found.accuracy == whole.accuracy, "\(extra)")
    }
    let shared = try evaluations(["batch=7"], ranks: 3)
    #expect(shared.allSatisfy { $0 == shared[0] && abs($0.loss - whole.loss) < 1e-6 })
  }

  /// Ranks are lent rank 0's running statistics and have their own again: the run's course is the same.
  @Test(arguments: [NormKind.batch, .batchRenorm])
  func anEvaluationChangesNothing(norm: NormKind) throws {
    let run = try smallRun(norm, steps: 4)
    let data = try run.loadData()
    let seen = try withThreadRanks(2) { world -> (own: [[Float]], Bool, Evaluation) in
      let replica = try TrainingRun(run, data: data, context: RankContext(world))
      for _ in 0..<3 { _ = try replica.step() }
      let before = replica.model.buffers.map(\.value.elements)
      let counts = replica.model.counters.map(\.value)
      let evaluation = try replica.evaluate()
      let isSame =
        before == replica.model.buffers.map(\.value.elements)
        && counts == replica.model.counters.map(\.value)
      return (before, isSame, evaluation)
    }
    #expect(seen[0].own != seen[1].own, "each rank has statistics of its own")
    #expect(seen.allSatisfy { $0.1 && $0.2 == seen[0].2 })
  }
}
