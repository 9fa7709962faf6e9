import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepNorms
import LockstepRuns
import LockstepTraining
import Spawning
import Testing

/// Real data is learned.
@Suite struct LearningTests {
  private func accuracy(_ configuration: RunConfiguration, ranks: Int) throws -> Double {
    let data = try configuration.loadData()
    return try withThreadRanks(ranks) { world in
      let run = try TrainingRun(configuration, data: data, context: RankContext(world))
      let summary = try train(run, ranks: ranks, onStep: { _ in }, onEvaluation: { _, _ in })
      return summary?.final.accuracy ?? 0
    }[0]
  }

  @Test func theDemonstrationReaches98PercentUnderSyncBatch() throws {
    let run = try RunConfiguration(path: packageRoot + "/Configs/digits-resnet.yaml")
    #expect(try accuracy(run.with(norm: .syncBatch), ranks: 2) >= 0.98)
  }

  @Test(.enabled(if: exists(sharedFolder + "/data/mnist"), "no MNIST beside the package"))
  func anMLPLearnsMNIST() throws {
    let run = try RunConfiguration(
      yaml: """
        model: {kind: mlp, hidden: [128], norm: {kind: layer}}
        data: {kind: mnist, path: \(sharedFolder)/data/mnist, files: t10k, holdOut: 5}
        batch: 100
        epochs: 5
        optimizer: {kind: adamw, learningRate: 2e-3}
        schedule: {decay: linear}
        """, name: "mnist.yaml")
    #expect(try accuracy(run, ranks: 2) >= 0.93)
  }

  @Test(arguments: ["Configs/digits-resnet.yaml", "Configs/bench/resnet20.yaml"])
  func everyConfigurationIsReadAndRunsTwoSteps(path: String) throws {
    let run = try RunConfiguration(path: "\(packageRoot)/\(path)")
    let data = try run.loadData()
    let replica = try TrainingRun(run, data: data, context: RankContext(Solo()))
    for step in 1...2 { #expect(try replica.step().step == step) }
  }

  @Test func theResolvedConfigurationIsTheSameRun() throws {
    for (norm, extra) in [
      (NormKind.syncBatch, ["model.norm.momentum=null", "model.norm.statisticsGroup=node"]),
      (.group, ["clipNorm=1.5", "schedule={decay: step, milestones: [3, 5]}"]),
      (.layer, ["optimizer={kind: adamw, learningRate: 1e-3}", "evaluate={everySteps: 2}"]),
      (.layer, ["model.norm.detached=true", "checkpoint={everyEpochs: 2, keep: 7}"]),
      (.layer, ["checkpoint.everySeconds=2.5"]), (.layer, ["checkpoint.everySteps=9"]),
      (
        .batchRenorm,
        [
          "model.norm.synchronized=true", "model.norm.maximumScale=1.5",
          "model.norm.maximumShift=0.5",
        ]
      ),
    ] {
      let run = try smallRun(norm, extra: extra)
      let again = try RunConfiguration(yaml: run.resolvedYAML, name: "resolved.yaml")
      #expect(try again.resolvedYAML == run.resolvedYAML)
      #expect(again.optimizer == run.optimizer && again.decay == run.decay)
      #expect(again.checkpoint == run.checkpoint)
      #expect(again.evaluation == run.evaluation && again.model.norm == run.model.norm)
    }
  }
}
