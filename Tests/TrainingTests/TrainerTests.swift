import Foundation
import LockstepAutograd
import LockstepCollectives
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepLayers
import LockstepModels
import LockstepNorms
import LockstepOptimizers
import LockstepPrediction
import LockstepRecording
import LockstepRuns
import LockstepTensors
import LockstepTraining
import Spawning
import Testing

/// Training a model of one's own, without a configuration.
@Suite struct TrainerTests {
  private static let data = DataSplit(
    train: ImageDataset.synthetic(shape: [4, 4, 1], classes: 3, count: 48, seed: 1),
    test: ImageDataset.synthetic(shape: [4, 4, 1], classes: 3, count: 12, seed: 2))

  private static func model(_ ranks: RankContext, _ norm: NormSettings, outputs: Int = 3) throws
    -> Model
  {
    try Model(input: [4, 4, 1], seed: 1, over: ranks) { m in
      m.convolution("conv", outputs: 4)
      m.norm("bn", norm)
      Activation.gelu
      m.averagePool()
      m.linear("fc", outputs: outputs)
    }
  }

  @Test func twoLayersOfOneNameAreRefused() throws {
    #expect {
      _ = try Model(input: [4], seed: 1) { m in
        m.linear("fc", outputs: 4)
        m.linear("fc", outputs: 4)
      }
    } throws: {
      "\($0)"
        == "fc.weight: there are two of this name; give each layer of the model a name of its own"
    }
  }

  @Test func classesThatOnlyTheTestSetHasAreRefused() throws {
    let more = DataSplit(
      train: Self.data.train,
      test: ImageDataset.synthetic(shape: [4, 4, 1], classes: 5, count: 12, seed: 2))
    let context = try RankContext(Solo())
    #expect {
      _ = try Trainer(
        Self.model(context, NormSettings(.layer)), more, Self.settings(), over: context)
    } throws: {
      "\($0)".hasPrefix("data: the data to test on have 5 classes, those to train on 3; give")
    }
  }

  @Test func aLayerMayStandTwiceInAModel() throws {
    let model = try Model(input: [4], seed: 1) { m in
      let norm = m.norm("norm", NormSettings(.batch))
      norm
      norm
    }
    #expect(model.parameters.map(\.name) == ["norm.weight", "norm.bias"])
  }

  private static func settings(_ batch: BatchSize = .global(16)) -> TrainerSettings {
    TrainerSettings(batch: batch, length: .epochs(2), optimizer: .sgd(), learningRate: 0.1)
  }

  private static func losses(ranks: Int, _ norm: NormSettings) throws -> [[Double]] {
    try withThreadRanks(ranks) { world in
      let context = try RankContext(world)
      let trainer = try Trainer(model(context, norm), data, settings(), over: context)
      var losses: [Double] = []
      while let step = try trainer.next() { losses.append(step.loss) }
      try trainer.verifyReplicas()
      return losses
    }
  }

  @Test(arguments: [NormKind.syncBatch, .layer, .group, .none])
  func ranksComputeWhatOneComputes(kind: NormKind) throws {
    var norm = NormSettings(kind)
    norm.groups = 2
    let alone = try Self.losses(ranks: 1, norm)[0]
    #expect(alone.count == 6)
    for losses in try Self.losses(ranks: 3, norm) {
      for (loss, expected) in zip(losses, alone) { #expect(abs(loss - expected) < 1e-5) }
    }
  }

  @Test func perRankStatisticsAreAnotherNetworkOnSeveralRanks() throws {
    let norm = NormSettings(.batch)
    let (alone, together) = (
      try Self.losses(ranks: 1, norm)[0], try Self.losses(ranks: 2, norm)[0]
    )
    #expect(zip(alone, together).contains { abs($0 - $1) > 1e-4 })
  }

  @Test func theBuilderKnowsTheShapeThatReachesEachLayer() throws {
    let model = try Self.model(RankContext(Solo()), NormSettings(.layer))
    #expect(model.outputs == 3)
    #expect(
      model.parameters.map { "\($0.name) \($0.value.shape.dimensions)" } == [
        "conv.weight [4, 1, 3, 3]", "bn.weight [4]", "bn.bias [4]", "fc.weight [3, 4]",
        "fc.bias [3]",
      ])
    #expect(model.norms.map(\.site) == [NormSite("bn", channels: 4, positions: 16)])
  }

  /// What all ranks throw.
  private static func errors(
    _ batch: BatchSize, _ norm: NormSettings = NormSettings(.layer), outputs: Int = 3,
    change: @Sendable @escaping (inout TrainerSettings) -> Void = { _ in }
  ) throws -> [String] {
    try withThreadRanks(2) { world in
      do {
        let context = try RankContext(world)
        var settings = settings(batch)
        change(&settings)
        _ = try Trainer(
          model(context, norm, outputs: outputs), data, settings, over: context)
        return ""
      } catch let error as any ProgramError {
        return error.isSharedByAllRanks ? error.description : "one rank's: \(error)"
      }
    }
  }

  @Test func whatDoesNotFitIsRefusedAlikeOnAllRanks() throws {
    var groups = NormSettings(.group)
    groups.groups = 3
    var statisticsGroup = NormSettings(.syncBatch)
    statisticsGroup.statisticsGroup = .ranks(3)
    let cases: [([String], String)] = [
      (try Self.errors(.global(49)), "batch 49 is larger than the training set of 48 samples"),
      (try Self.errors(.perRank(25)), "batchPerRank times the ranks, 50, is larger"),
      (try Self.errors(.global(0)), "has no sample"),
      (try Self.errors(.global(16), outputs: 5), "has 5 logits, but the data have 3 classes"),
      (try Self.errors(.global(16), groups), "groups 3 does not divide the 4 channels of bn"),
      (try Self.errors(.global(16), statisticsGroup), "3 does not divide the 2 ranks"),
      (
        try Self.errors(.global(16)) { $0.clipNorm = -1 },
        "clipNorm is -1.0, expected a number above 0"
      ),
      (try Self.errors(.global(16)) { $0.clipNorm = .nan }, "expected a number above 0"),
      (
        try Self.errors(.global(16)) { $0.augmentation = Augmentation(crop: -1, flip: true) },
        "crop is -1, expected 0 to 1024 pixels"
      ),
      (
        try Self.errors(.global(16)) { $0.augmentation = Augmentation(crop: .max, flip: true) },
        "expected 0 to 1024 pixels"
      ),
      (try Self.errors(.perRank(.max)), "is larger than the training set"),
    ]
    for (messages, expected) in cases {
      #expect(messages[0] == messages[1] && messages[0].contains(expected), "\(messages)")
    }
  }

  @Test func aRecordedRunIsReadAsOne() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      _ = try withThreadRanks(2) { world in
        let context = try RankContext(world)
        let trainer = try Trainer(
          Self.model(context, NormSettings(.syncBatch)), Self.data, Self.settings(), over: context)
        let recorder = try Recorder(
          over: context, at: path, trainer.description(name: "own"))
        while let step = try trainer.next() { try recorder.append(step) }
        try recorder.finish()
        #expect(throws: ConfigurationError.self, "it is finished") { try recorder.finish() }
      }
      let run = try RecordedRun(path: path)
      #expect(run.isComplete && run.records.count == 2)
      let steps = run.records[0].entries.filter { $0.kind == .step }
      #expect(steps.map(\.key.number) == Array(1...6))
      let norms = run.records[0].entries.filter {
        if case .computing(_, _, isNorm: true) = $0.purpose { true } else { false }
      }
      #expect(Set(norms.map(\.purpose.site)) == ["bn"], "events say which layers are norms")
      #expect(try RunMetrics(run: path).steps.map(\.step) == Array(1...6))
      let source = try PredictionSources.read([path])[0]
      #expect(source.norm == "sync-batch" && source.synchronizes)
    }
  }

  @Test func aLoopOfOnesOwnIsRecorded() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/loop"
      let described = RunDescription(
        name: "loop", norm: "none", synchronizes: false, samplesPerRank: 1)
      _ = try withThreadRanks(3) { world in
        let recorder = try Recorder(over: world, at: path, described)
        for number in 1...5 {
          try recorder.step(number) {
            var values = [1.0, 2]
            try world.sum(&values, for: .gradients(bucket: 0))
          }
        }
        try recorder.finish()
      }
      let run = try RecordedRun(path: path)
      let sums = run.records[2].entries.filter { $0.purpose == .gradients(bucket: 0) }
      #expect(sums.count == 5 && sums.allSatisfy { $0.bytes == 16 })
      let rows = try RunMetrics(run: path).steps
      #expect(rows.map(\.gradients.collectives) == [1, 1, 1, 1, 1])
      #expect(rows.map(\.gradients.bytes) == [16, 16, 16, 16, 16])
      #expect(rows.allSatisfy { $0.loss.isNaN && $0.statistics.collectives == 0 })
      let errors = try withThreadRanks(2) { world in
        do {
          _ = try Recorder(over: world, at: path, described)
          return ""
        } catch { return "\(error)" }
      }
      #expect(errors[0] == errors[1] && errors[0].contains("the run directory exists"), "\(errors)")
    }
  }

  @Test func aGroupMadeBeforeTheRecordingIsRecorded() throws {
    let groups = try withThreadRanks(4) { world -> [Int] in
      let context = try RankContext(world)
      let scope = try context.scope(of: .ranks(2))
      let log = EventLog()
      context.record(in: log)
      var values = [1.0]
      try scope.communicator.sum(&values, for: .statistics(EventName("bn"), .forward))
      #expect(log.events().count { $0.kind == .collective } == 1)
      return context.recordedGroups
    }
    #expect(groups == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 2]])
  }
}
