import Foundation
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepNorms
import LockstepRuns
import LockstepTraining
import Spawning
import Testing

/// Transformers over ranks, and the configurations that come with the package.
@Suite struct TransformerTests {
  private func run(_ norm: NormKind, extra: [String] = []) throws -> RunConfiguration {
    try RunConfiguration(
      yaml: """
        name: small
        seed: 3
        model:
          kind: transformer
          context: 12
          width: 16
          heads: 2
          layers: 2
          activation: gelu
          dropout: 0.1
          norm: {kind: \(norm.rawValue), groups: 4, synchronized: true}
        data: {kind: arithmetic, digits: 2, samples: 38}
        batch: 7
        steps: 20
        optimizer: {kind: sgd, learningRate: 0.05, momentum: 0.9}
        """, name: "small.yaml", set: extra)
  }

  /// Padded answers, dropout and uneven shares included.
  @Test(arguments: RankCountTests.invariant)
  func lossesDoNotDependOnTheNumberOfRanks(norm: NormKind) throws {
    let run = try run(norm)
    let alone = try trained(run, ranks: 1)[0].losses
    #expect(alone.count == 20 && Set(alone).count == 20)
    for ranks in 2...4 {
      #expect(difference(try trained(run, ranks: ranks)[0].losses, alone) < 1e-4, "\(ranks) ranks")
    }
  }

  @Test(
    arguments: [
      "model={kind: ngpt, context: 12, width: 16, heads: 2, layers: 2}",
      "model.weightNorm=true", "model.fixNorm={embedding: true, output: true}",
      "gradientNormalization=global", "gradientNormalization=layer",
    ])
  func otherVariantsDoNotDependOnTheNumberOfRanksEither(setting: String) throws {
    let run = try run(.layer, extra: [setting])
    let alone = try trained(run, ranks: 1)[0].losses
    for ranks in 2...4 {
      #expect(difference(try trained(run, ranks: ranks)[0].losses, alone) < 1e-4, "\(ranks) ranks")
    }
    #expect(difference(alone, try trained(try self.run(.layer), ranks: 1)[0].losses) > 1e-4)
  }

  @Test func answersAreJudgedAsAWhole() throws {
    let run = try run(.layer)
    let evaluation = try withThreadRanks(3) { world in
      let run = try TrainingRun(run, data: run.loadData(), context: RankContext(world))
      return try run.evaluate()
    }
    #expect(Set(evaluation.map(\.exactMatch)).count == 1)
    #expect(evaluation[0].exactMatch.map { (0...1).contains($0) } ?? false)
    let images = try smallRun(.layer)
    let none = try withThreadRanks(1) { world in
      try TrainingRun(images, data: images.loadData(), context: RankContext(world)).evaluate()
    }
    #expect(none[0].exactMatch == nil)
  }

  @Test func aNormOfItsOwnIsRefusedByAnNGPT() throws {
    let run = try run(
      .layer, extra: ["model={kind: ngpt, context: 12, width: 16, heads: 2, layers: 2}"])
    #expect(throws: ConfigurationError.self) {
      _ = try trained(run.with(norm: .layer), ranks: 1)
    }
  }

  @Test func dropoutChangesTheLosses() throws {
    let with = try trained(try run(.layer), ranks: 1)[0].losses
    let without = try trained(try run(.layer, extra: ["model.dropout=0"]), ranks: 1)[0].losses
    #expect(difference(with, without) > 1e-3)
  }

  /// Every file of Configs but those whose data lie outside of the package.
  static let files: [String] = {
    let folder = packageRoot + "/Configs"
    let all = (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
    return all.filter { $0.hasSuffix(".yaml") && !$0.hasPrefix("shakespeare") }.sorted()
  }()

  @Test(arguments: files) func everyConfigurationRunsForTwoSteps(file: String) throws {
    let run = try RunConfiguration(path: "\(packageRoot)/Configs/\(file)")
    var short = run
    short.length = .steps(2)
    short.batch = .global(8)
    let seen = try trained(short, ranks: 2)
    #expect(seen[0].losses.count == 2 && seen[0].losses.allSatisfy(\.isFinite))
    #expect(seen[0].digests == seen[1].digests)
  }

  @Test(
    arguments: [
      ("model.heads=3", "does not divide the width"), ("model.placement=per", "did you mean"),
      ("clipNorm=1", "expected one"), ("model={kind: ngpt, placement: pre}", "placement"),
      ("model={kind: ngpt, context: 12, width: 6, heads: 2, layers: 1}", "pairs of channels"),
      ("data.kind=digits", "data are images"), ("model.positions=rotery", "did you mean"),
    ])
  func wrongSettingsAreNamed(setting: String, message: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      _ = try run(
        .layer,
        extra: setting == "data.kind=digits"
          ? ["data={kind: digits}"] : ["gradientNormalization=layer", setting])
    }
    #expect(error.map { "\($0)".contains(message) } ?? false, "\(String(describing: error))")
  }

  @Test func problemsLongerThanTheContextAreNamed() throws {
    let run = try run(.layer, extra: ["data.digits=5"])
    #expect(throws: (any Error).self) { _ = try run.loadData() }
  }
}
