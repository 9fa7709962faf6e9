import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepNorms
import LockstepRuns
import LockstepTensors
import LockstepTraining
import Testing

/// What the counters in the communicators say.
@Suite struct TrafficTests {
  /// conv1, two convolutions in each of two blocks, and one shortcut.
  static let sites = 6

  @Test(arguments: NormRegistry.kinds)
  func onlySynchronizedNormsSendStatisticsTwiceALayerAStep(norm: NormKind) throws {
    for seen in try trained(try smallRun(norm, steps: 7), ranks: 3) {
      for step in seen.steps {
        #expect(
          step.statistics.collectives == (NormSettings(norm).synchronizes ? 2 * Self.sites : 0))
      }
    }
  }

  @Test func statisticsAreOneFloat64AllReduceEachWay() throws {
    let step = try trained(try smallRun(.syncBatch, steps: 1), ranks: 2)[0].steps[0]
    let channels = [8, 8, 8, 16, 16, 16]
    #expect(step.statistics.bytes == channels.reduce(0) { $0 + 8 * (2 * $1 + 1) + 8 * 2 * $1 })
  }

  @Test(arguments: [NormKind.syncBatch, .batch, .layer])
  func evaluationSendsNoStatistics(norm: NormKind) throws {
    let run = try smallRun(norm, steps: 2)
    let data = try run.loadData()
    let evaluations = try withThreadRanks(3) { world in
      let context = try RankContext(world)
      let replica = try TrainingRun(run, data: data, context: context)
      _ = try replica.step()
      let before = context.statisticsTraffic
      let evaluation = try replica.evaluate()
      return (evaluation, (context.statisticsTraffic - before).collectives)
    }
    #expect(evaluations.allSatisfy { $0.1 == 0 })
    #expect(evaluations.allSatisfy { $0.0 == evaluations[0].0 })
  }

  @Test func gainAndBiasSummedByTheirLayerTravelInNoBucket() throws {
    let layer = try trained(try smallRun(.layer, steps: 1), ranks: 2)[0].steps[0]
    let sync = try trained(try smallRun(.syncBatch, steps: 1), ranks: 2)[0].steps[0]
    let parameters = 2 * (8 + 8 + 8 + 16 + 16 + 16)
    #expect(layer.gradients.bytes - sync.gradients.bytes == 4 * parameters)
  }

  @Test func aStepInSteadyStateTakesNoMemoryFromTheSystem() throws {
    let run = try smallRun(.syncBatch, steps: 40, extra: ["data.dropLast=true"])
    let data = try run.loadData()
    let replica = try TrainingRun(run, data: data, context: RankContext(Solo()))
    for _ in 0..<10 { _ = try replica.step() }
    let before = MemoryPool.shared.systemBytes
    for _ in 0..<30 { _ = try replica.step() }
    // Other tests run beside this one, so a small pool may grow; a step's activations would be
    // megabytes.
    #expect(MemoryPool.shared.systemBytes - before < 1 << 26)
  }

  @Test func aStatisticsGroupKeepsToItself() throws {
    let pairs = try smallRun(.syncBatch, extra: ["model.norm.statisticsGroup=2", "steps=8"])
    let seen = try trained(pairs, ranks: 4)
    #expect(seen.allSatisfy { $0.digests == seen[0].digests })
    #expect(seen[0].steps.allSatisfy { $0.statistics.collectives == 2 * Self.sites })
    let all = try trained(try smallRun(.syncBatch, steps: 8), ranks: 4)
    #expect(difference(seen[0].losses, all[0].losses) > 1e-4)
    let ones = try trained(
      try smallRun(.syncBatch, extra: ["model.norm.statisticsGroup=1", "steps=8"]), ranks: 4)
    let perRank = try trained(try smallRun(.batch, steps: 8), ranks: 4)
    #expect(difference(ones[0].losses, perRank[0].losses) < 1e-6)
  }
}
