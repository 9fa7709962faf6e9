import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepNorms
import LockstepParity
import LockstepRuns
import LockstepSafetensors
import LockstepTraining
import Spawning
import Testing

/// LSTMs over ranks, and their configurations.
@Suite struct LSTMTrainingTests {
  private func run(_ norm: NormKind, extra: [String] = []) throws -> RunConfiguration {
    try RunConfiguration(
      yaml: """
        name: small
        seed: 3
        model:
          kind: lstm
          context: 12
          width: 16
          layers: 2
          dropout: 0.1
          norm: {kind: \(norm.rawValue)}
        data: {kind: arithmetic, digits: 2, samples: 57}
        batch: 17
        steps: 12
        optimizer: {kind: sgd, learningRate: 0.05, momentum: 0.9}
        """, name: "small.yaml", set: extra)
  }

  /// Padded answers, dropout and uneven shares included.
  @Test(arguments: [NormKind.none, .layer, .rms, .syncBatch])
  func lossesDoNotDependOnTheNumberOfRanks(norm: NormKind) throws {
    for extra in [[], ["model.norm.masked=false", "model.tiedEmbedding=false"]] {
      let run = try run(norm, extra: extra)
      let alone = try trained(run, ranks: 1)[0].losses
      #expect(alone.count == 12 && Set(alone).count == 12)
      for ranks in 2...4 {
        let others = try trained(run, ranks: ranks)
        #expect(difference(others[0].losses, alone) < 1e-4, "\(ranks) ranks")
        #expect(others.allSatisfy { $0.digests == others[0].digests }, "the same bits on all")
      }
    }
  }

  @Test func perRankBatchStatisticsDoDependOnTheNumberOfRanks() throws {
    let run = try run(.batch)
    let alone = try trained(run, ranks: 1)[0].losses
    #expect(difference(try trained(run, ranks: 2)[0].losses, alone) > 1e-3)
    #expect(difference(try trained(try self.run(.syncBatch), ranks: 1)[0].losses, alone) < 1e-4)
  }

  /// Three norms a layer; where no step has padding, all products of inputs are normalized together.
  @Test func statisticsTravelOnceAStepAndOnceForAllInputs() throws {
    let run = try run(.syncBatch, extra: ["model.norm.masked=false", "steps=2"])
    for step in try trained(run, ranks: 2)[0].steps {
      #expect(step.statistics.collectives == 2 * 2 * (1 + 2 * 12))
    }
  }

  @Test(arguments: [NormKind.layer, .syncBatch]) func weightGradientsThatArePutOffAreTheSame(
    norm: NormKind
  ) throws {
    let runs = try [true, false].map {
      try trained(run(norm, extra: ["model.norm.overlap=\($0)", "steps=4"]), ranks: 2)[0]
    }
    #expect(runs[0].digests == runs[1].digests)
  }

  @Test func anLSTMLearns() throws {
    for extra in [[], ["precision=bfloat16"]] {
      let run = try run(.layer, extra: ["steps=60", "model.dropout=0"] + extra)
      let losses = try trained(run, ranks: 1)[0].losses
      #expect(losses[50...].reduce(0, +) < 0.95 * losses[..<10].reduce(0, +), "\(extra)")
    }
  }

  @Test(arguments: [NormKind.group, .instance, .scale, .l2, .batchRenorm])
  func aNormThatItDoesNotKnowIsRefusedWhereItStands(norm: NormKind) throws {
    let error = #expect(throws: ConfigurationError.self) { try run(norm) }
    #expect(
      error.map { "\($0)" }?.contains("small.yaml") ?? false, "\(String(describing: error))")
    #expect(error.map { "\($0)" }?.contains("not \(norm.rawValue)") ?? false)
    let option = #expect(throws: ConfigurationError.self) {
      try trained(run(.layer).with(norm: norm), ranks: 1)
    }
    #expect(option.map { "\($0)" }?.contains("--norms") ?? false, "\(String(describing: option))")
  }

  private static let parity = "\(sharedFolder)/parity/lstm.safetensors"

  @Test(.enabled(if: exists(parity), "no parity files beside the package"))
  func everyCaseOfAnotherFrameworkPasses() throws {
    let report = try ParityReport.replay(
      [SafetensorsFile(path: Self.parity)], context: RankContext(Solo()))
    #expect(report.cases.count == 3 && report.failed == 0, "\(report)")
  }

  @Test func whatItDoesNotHaveIsRefused() throws {
    for setting in ["model.weightNorm=true", "model.heads=2"] {
      #expect(throws: ConfigurationError.self) { try run(.layer, extra: [setting]) }
    }
  }
}
