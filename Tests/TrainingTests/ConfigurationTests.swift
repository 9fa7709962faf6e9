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

/// A wrong configuration is named with its place and what was expected.
@Suite struct ConfigurationTests {
  private static let good = """
    name: test
    model:
      kind: resnet
      blocks: [1]
      widths: [8]
      norm: {kind: layer}
    data: {kind: digits}
    batch: 32
    epochs: 1
    optimizer: {kind: sgd, learningRate: 0.1}
    """

  private func message(_ yaml: String, set: [String] = []) -> String {
    do {
      _ = try RunConfiguration(yaml: yaml, name: "run.yaml", set: set)
      return "nothing was wrong"
    } catch {
      return "\(error)"
    }
  }

  @Test func aMisspeltKeyIsNamedWithLineColumnAndTheNearestName() {
    let text = Self.good.replacing("batch: 32", with: "bacth: 32")
    #expect(message(text) == "run.yaml:8:1: unknown key \"bacth\"; did you mean \"batch\"?")
    let deep = Self.good.replacing("learningRate", with: "learningrat")
    #expect(message(deep).hasPrefix("run.yaml:10:24: unknown key \"optimizer.learningrat\""))
    #expect(message(deep).contains("\"learningRate\""))
  }

  @Test(arguments: [
    ("batch: 32", "batch: many", "run.yaml:8:8: batch is \"many\", expected a whole number"),
    ("batch: 32", "batch: -3", "run.yaml:8:8: batch is \"-3\""),
    ("batch: 32", "seed: 1", "neither batch"),
    ("batch: 32", "batch: 32\nbatchPerRank: 4", "run.yaml:9:15: both batch and batchPerRank"),
    ("epochs: 1", "seed: 2", "neither epochs nor steps"),
    (
      "kind: layer", "kind: layr",
      "run.yaml:6:16: unknown model.norm.kind \"layr\"; did you mean \"layer\"?"
    ),
    ("[8]", "8", "model.widths is \"8\", expected a list of whole numbers"),
    ("[8]", "[8, 16]", "model.blocks has 1 stages and model.widths 2"),
    ("{kind: digits}", "digits", "data is \"digits\", expected a mapping"),
    ("{kind: layer}", "{kind: layer, epsilon: small}", "model.norm.epsilon is \"small\""),
    (
      "{kind: layer}", "{kind: batch-renorm, maximumScale: 0.5}",
      "model.norm.maximumScale is \"0.5\", expected a number from 1.0 on"
    ),
    (
      "{kind: layer}", "{kind: sync-batch, every: 0}",
      "model.norm.every is \"0\", expected a whole number from 1 to 1000000"
    ),
    (
      "widths: [8]", "widths: [8]\n  weightNorm: true\n  weightStandardization: true",
      "both say how a weight is computed"
    ),
    ("sgd", "adam", "unknown optimizer.kind \"adam\"; did you mean \"adamw\"?"),
    ("name: test", "name: \"a\\u0007b\"", "expected one line of at most 200 bytes"),
    ("epochs: 1", "epochs: 1\nschedule: {final: 0.1}", "schedule.final has no meaning"),
    ("batch: 32", "batch: [", "run.yaml: line"),
    (
      "epochs: 1", "epochs: 1\nparallel: {watchdogSeconds: 1}",
      "parallel.watchdogSeconds is \"1\", expected a whole number from 2 to 86400"
    ),
    (
      "epochs: 1", "epochs: 1\ncheckpoint: {everySteps: 5, everySeconds: 9}",
      "both checkpoint.everySteps and checkpoint.everySeconds are given"
    ),
    ("epochs: 1", "epochs: 1\ncheckpoint: {keep: 0}", "checkpoint.keep is \"0\""),
    ("epochs: 1", "epochs: 1\ncheckpoint: {everyStep: 5}", "did you mean \"everySteps\"?"),
    (
      "[8]", "[9223372036854775807]",
      "expected a list of whole numbers from 1 to 16777216"
    ),
    ("batch: 32", "batchPerRank: 9223372036854775807", "a whole number from 1 to 4294967296"),
    ("[1]", "[1000000]", "expected a list of whole numbers from 1 to 1000"),
    (
      "batch: 32", "batch: " + String(repeating: "[", count: 100_000), "run.yaml: line"
    ),
    (
      "batch: 32", "batch: {" + String(repeating: "x", count: 100_000) + ": 1}",
      "run.yaml: line 8, column 100009"
    ),
    ("batch: 32", String(repeating: "x", count: 100_000) + ": 1", "could not find expected ':'"),
    ("batch: 32", "# " + String(repeating: "x", count: 1 << 20), "expected no more than 1048576"),
  ])
  func aWrongValueIsNamed(old: String, new: String, expected: String) {
    let found = message(Self.good.replacing(old, with: new))
    #expect(found.contains(expected), "\(found)")
  }

  /// The composer would copy what stands for an alias, and ten lines are 10¹⁰ values.
  @Test func aliasesOfAliasesAreRefusedAtOnce() {
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in 1...10 {
      let aliases = Array(repeating: "*a\(i - 1)", count: 10).joined(separator: ", ")
      text += "a\(i): &a\(i) [\(aliases)]\n"
    }
    #expect(message(text) == "run.yaml:2: anchors and aliases are not supported")
  }

  @Test(arguments: [
    "name: test # R&D: &all *.yaml files", "# &a *a\nname: test", "name: \"a & b, *c\"",
    "name: '&a *a'", "name: a&b *c", "name: |\n  &a *a", "name: >-\n  more\n  *a &b",
    "name: \"x\\\"\" # *y &z", "name: &anchor test # *anchor", "name: \"*a\\\n  *b &c\"",
  ])
  func aStarThatBeginsNoAliasIsAStar(line: String) {
    let found = message(Self.good.replacing("name: test", with: line))
    #expect(found == "nothing was wrong" || found.contains("expected one line"), "\(found)")
  }

  @Test(arguments: [
    ("name: &a test\nseed: *a", 2), ("name: *a", 1), ("# *b &c\nname: &a 'x *y'\nseed: *a", 3),
    ("name: test\nepochs: 3\n\"*x\": &a {b: [*a, *a]}", 3), ("{name: *a, seed: &a 1}", 1),
    ("- &a 1\n- *a", 2), ("? *a\n: &a 1", 1), ("name: \"é ü\" # ž\nseed: [&a 1, *a]", 2),
    ("name: &a x\r\nseed: *a", 2), ("a: |\n  *x\nb: &b 1\nc: *b", 4),
  ])
  func anAliasIsRefusedWithItsLine(text: String, line: Int) {
    #expect(message(text) == "run.yaml:\(line): anchors and aliases are not supported")
  }

  @Test func aValueIsTakenBackByNull() throws {
    let run = try RunConfiguration(
      yaml: Self.good + "\nclipNorm: 3\ncheckpoint: {everySteps: 3}", name: "run.yaml",
      set: [
        "epochs=null", "steps=5", "clipNorm=", "checkpoint.everySteps=null",
        "checkpoint.everyEpochs=1", "batch=~", "batchPerRank=4",
      ])
    #expect(run.length == .steps(5) && run.clipNorm == nil && run.batch == .perRank(4))
    #expect(run.checkpoint.cadence == .epochs(1))
    // Where null is a value of its own, it stays one.
    let norm = try RunConfiguration(
      yaml: Self.good, name: "run.yaml", set: ["model.norm.momentum=null"])
    #expect(norm.model.norm.momentum == nil)
    #expect(message(Self.good, set: ["batch=null"]).contains("neither batch"))
    #expect(
      message(Self.good, set: ["optimizer.learningRate=null"]).contains(
        "optimizer.learningRate is null, expected a number"))
  }

  @Test(arguments: ["1e-6", "1.9e-6", "0.1", "1024"])
  func everySizeOfBucketsThatIsAcceptedIsReadAgain(megabytes: String) throws {
    let set = [
      "parallel.firstBucketMegabytes=\(megabytes)", "parallel.bucketMegabytes=\(megabytes)",
    ]
    let run = try RunConfiguration(yaml: Self.good, name: "run.yaml", set: set)
    let again = try RunConfiguration(yaml: try run.resolvedYAML, name: "resolved.yaml")
    #expect(try again.resolvedYAML == run.resolvedYAML)
  }

  @Test(arguments: ["null", "Null", "NULL"])
  func aNameThatYAMLReadsAsNullIsKept(name: String) throws {
    let text = Self.good.replacing("name: test", with: "name: \"\(name)\"")
    let run = try RunConfiguration(yaml: text, name: "run.yaml")
    let again = try RunConfiguration(yaml: try run.resolvedYAML, name: "resolved.yaml")
    #expect(run.name == name && again.name == name)
  }

  @Test func anAssignmentIsNamedAsItWasGiven() {
    #expect(
      message(Self.good, set: ["model.norm.kindd=rms"])
        == "--set model.norm.kindd=rms: unknown key \"model.norm.kindd\"; did you mean \"kind\"?")
    #expect(message(Self.good, set: ["batch"]).contains("expected key.path=value"))
    #expect(message(Self.good, set: ["batch.x=1"]).contains("there is no key \"x\""))
  }

  @Test func anAssignmentReplacesAValueOrAddsOne() throws {
    let run = try RunConfiguration(
      yaml: Self.good, name: "run.yaml", set: ["model.norm.kind=group", "clipNorm=2.5", "seed=9"])
    #expect(run.model.norm.kind == .group && run.clipNorm == 2.5 && run.seed == 9)
  }

  /// What only data and ranks can tell: found before the first step, the same on all ranks.
  @Test(arguments: [
    (["batch=5000"], 1, "batch 5000 is larger than the training set of 1438 samples"),
    (["model.norm={kind: group, groups: 3}"], 1, "groups 3 does not divide the 8 channels of bn1"),
    (
      ["model.norm={kind: sync-batch, statisticsGroup: 3}"], 4,
      "statisticsGroup 3 does not divide the 4 ranks"
    ),
    (
      ["model={kind: mlp, hidden: [4], norm: {kind: batch}}", "batch=3"], 2,
      "rank 1 would have one sample of a batch of 1"
    ),
    (
      ["model={kind: mlp, hidden: [4], norm: {kind: batch}}", "batch=479"], 1,
      "rank 0 would have one sample of a batch of 1"
    ),
    (
      ["model={kind: mlp, hidden: [4], norm: {kind: sync-batch}}", "batch=479"], 3,
      "the whole batch would have one sample"
    ),
    (
      ["model={kind: mlp, hidden: [4], norm: {kind: batch-renorm}}", "batch=3"], 2,
      "batch-renorm norm at norm1: rank 1 would have one sample of a batch of 1"
    ),
    (
      ["model.norm={kind: batch-renorm, synchronized: true, statisticsGroup: 3}"], 4,
      "statisticsGroup 3 does not divide the 4 ranks"
    ),
    (["model={kind: mlp, hidden: [4], norm: {kind: instance}}"], 1, "one position a sample"),
    (
      ["model={kind: mlp, hidden: [64], norm: {kind: whitening, groups: 1, epsilon: 0}}"], 1,
      "have 30 samples of a batch of 30, and 30 rows have no covariance of full rank for groups of 64"
    ),
    (["model.norm={kind: whitening, groups: 3}"], 1, "groups 3 does not divide the 8 channels"),
    (["accumulate=64"], 1, "accumulate 64 is more than the batch of 32"),
    (
      ["model={kind: mlp, hidden: [4], norm: {kind: group, groups: 4}}"], 1,
      "group norm at norm1 has 4 groups of one value"
    ),
    (["model={kind: mlp, hidden: [1], norm: {kind: layer}}"], 1, "layer norm at norm1 sees one"),
    (
      ["data={kind: mnist, path: /nowhere}", "data={kind: digits}", "batch=1439"], 1,
      "--set batch=1439: batch 1439 is larger"
    ),
    (
      ["model.norm={kind: sync-batch}", "model.norm.statisticsGroup=3"], 2,
      "--set model.norm.statisticsGroup=3: model.norm.statisticsGroup 3 does not divide"
    ),
    (["model.norm.kind=group"], 1, "nothing was wrong"),
    (
      ["model.norm.groups=3", "model.norm.kind=group"], 1,
      "--set model.norm.groups=3: model.norm.groups 3 does not divide"
    ),
    (
      ["model.norm={kind: layer, zeroCentered: true}"], 1,
      "model.norm.zeroCentered is true, but layer norm has no zero-centred gain"
    ),
    (
      [
        "model={kind: lstm, context: 16, width: 8, layers: 1, norm: {kind: batch, momentum: null}}",
        "data={kind: arithmetic, digits: 3, samples: 64}",
      ], 1, "model.norm.momentum is null, but the later steps of sequences of several lengths"
    ),
    (
      ["model.norm={kind: group, ghostBatch: 4}"], 1,
      "model.norm.ghostBatch is 4, but only batch norm"
    ),
    (
      ["model={kind: mlp, hidden: [8], norm: {kind: batch, ghostBatch: 3}}", "batch=8"], 2,
      "model.norm.ghostBatch is 3, which leaves rank 0 a ghost batch of one sample of its 4"
    ),
  ])
  func aRunThatCannotWorkIsRefusedBeforeItsFirstStep(
    set: [String], ranks: Int, expected: String
  ) throws {
    let run = try RunConfiguration(yaml: Self.good, name: "run.yaml", set: set)
    let data = try run.loadData()
    let messages = try withThreadRanks(ranks) { world -> String in
      do {
        _ = try TrainingRun(run, data: data, context: RankContext(world))
        return "nothing was wrong"
      } catch {
        return "\(error)"
      }
    }
    #expect(messages.allSatisfy { $0 == messages[0] && $0.contains(expected) }, "\(messages[0])")
  }

  @Test(arguments: [
    (
      "groups: 1", "hidden: [64, 64]",
      "so that epsilon alone bounds the output; so it is in 2 places"
    ),
    ("groups: 8", "hidden: [64, 64]", nil), ("groups: 1", "hidden: [29]", nil),
    ("groups: 1", "hidden: [30]", "whitening norm at norm1: the whole batch would have 30 samples"),
  ])
  func fewRowsForAWhiteningNormAreAWarning(groups: String, hidden: String, expected: String?) throws
  {
    let run = try RunConfiguration(
      yaml: Self.good, name: "run.yaml",
      set: ["model={kind: mlp, \(hidden), norm: {kind: whitening, \(groups)}}"])
    let data = try run.loadData()
    let warnings = try withThreadRanks(2) { world in
      try TrainingRun(run, data: data, context: RankContext(world)).warnings
    }
    for found in warnings {
      #expect(found.count == (expected == nil ? 0 : 1))
      #expect(expected.map { found.first?.contains($0) == true } ?? true, "\(found)")
    }
  }

  /// What is said of a small transformer with `set`; nil if it may be trained.
  private func problem(ofTransformer set: [String]) throws -> String? {
    let run = try RunConfiguration(
      yaml: """
        model: {kind: transformer, context: 4, width: 8, heads: 4, layers: 1, norm: {kind: rms}}
        data: {kind: synthetic, vocabulary: 5, samples: 20}
        batch: 4
        steps: 1
        optimizer: {kind: sgd, learningRate: 0.1}
        """, name: "run.yaml", set: set)
    do {
      _ = try TrainingRun(run, data: try run.loadData(), context: RankContext(Solo()))
      return nil
    } catch {
      return "\(error)"
    }
  }

  /// A transformer's norms on heads, and on its width.
  @Test(arguments: [
    ("attention={queryKeyNorm: layer}", "model.attention.queryKeyNorm", "queryKeyNorm: layer"),
    ("attention.queryKeyValueNorm=true", "model.attention.queryKeyValueNorm", "queries, keys and"),
    ("placement=qkv", "model.placement", "queries, keys and values of each of 4 heads"),
    ("placement=hybrid-star", "model.placement", "queries, keys and values"),
    ("attention={queryKeyNorm: rms}", "model.attention.queryKeyNorm", "only the sign of one value"),
    ("attention={queryKeyNorm: l2}", "model.attention.queryKeyNorm", "only the sign of one value"),
  ])
  func aHeadOfOneChannelHasNoNorm(setting: String, key: String, expected: String) throws {
    let found = try problem(ofTransformer: ["model.width=4", "model.\(setting)"])
    #expect(found?.contains(expected) == true, "\(found ?? "nothing was wrong")")
    #expect(found?.hasPrefix("--set model.\(setting): ") == true)
  }

  @Test(arguments: ["attention.queryKeyValueNorm=true", "placement=hybrid"])
  func queriesAndKeysHaveOneNorm(other: String) throws {
    let found = try problem(ofTransformer: ["model.\(other)", "model.attention.queryKeyNorm=rms"])
    #expect(
      found?.hasPrefix("--set model.attention.queryKeyNorm=rms: queryKeyNorm has no meaning where")
        == true, "\(found ?? "nothing was wrong")")
  }

  @Test(arguments: [("mixShare=0.25", true), ("mixShare=0.34", false), ("mixShare=0", false)])
  func aMixWithoutAPostBlockIsRefused(share: String, isRefused: Bool) throws {
    let found = try problem(
      ofTransformer: ["model.layers=3", "model.placement=mix", "model.\(share)"])
    let expected =
      "--set model.mixShare=0.25: mixShare 0.25 of 3 block(s) is less than one; give a larger share, or "
      + "placement: pre"
    #expect(found == (isRefused ? expected : nil))
  }

  @Test func tokensAreNotCropped() throws {
    #expect {
      _ = try RunConfiguration(
        yaml: """
          model: {kind: transformer, context: 4, width: 4, heads: 4, layers: 1, norm: {kind: rms}}
          data: {kind: synthetic, vocabulary: 5, samples: 20, augment: {crop: 2}}
          batch: 4
          steps: 1
          optimizer: {kind: sgd, learningRate: 0.1}
          """, name: "run.yaml")
    } throws: {
      "\($0)".contains("data.augment has no meaning for tokens")
    }
  }

  @Test func aTestSetOfNothingIsRefused() throws {
    for (source, expected) in [
      ("holdOut: 9", "data.holdOut is 9, but there are only 3 images, so none is held out"),
      ("files: t10k", "data.files is t10k, the images to test on; give data.holdOut"),
      ("files: train", "the samples to test on have shape [3, 3, 1], those to train on [2, 3, 1]"),
    ] {
      try withTemporaryFolder { folder in
        func write(_ name: String, _ extents: [UInt8], _ bytes: [UInt8]) throws {
          let header: [UInt8] =
            [0, 0, 8, UInt8(extents.count)] + extents.flatMap { [0, 0, 0, $0] as [UInt8] }
          try Data(header + bytes).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
        }
        try write("train-images-idx3-ubyte", [3, 2, 3], Array(0..<18))
        try write("train-labels-idx1-ubyte", [3], [1, 2, 3])
        try write("t10k-images-idx3-ubyte", [2, 3, 3], Array(0..<18))
        try write("t10k-labels-idx1-ubyte", [2], [1, 2])
        let run = try RunConfiguration(
          yaml: """
            model: {kind: mlp, hidden: [4], norm: {kind: layer}}
            data:
              kind: mnist
              path: '\(folder)'
              \(source)
            batch: 2
            steps: 1
            optimizer: {kind: sgd, learningRate: 0.1}
            """, name: "run.yaml")
        let data = try run.loadData()
        let error = #expect(throws: ConfigurationError.self) {
          try TrainingRun(run, data: data, context: RankContext(Solo()))
        }
        #expect(error?.problem.contains(expected) == true, "\(String(describing: error))")
        #expect(error?.place.hasPrefix("run.yaml:") == true)
      }
    }
  }

  @Test func aLossThatIsNotFiniteEndsAllRanksInTheSameStep() throws {
    let run = try RunConfiguration(
      yaml: Self.good, name: "run.yaml", set: ["optimizer.learningRate=1e30"])
    let data = try run.loadData()
    let messages = try withThreadRanks(3) { world -> String in
      let replica = try TrainingRun(run, data: data, context: RankContext(world))
      do {
        while replica.stepsTaken < replica.totalSteps { _ = try replica.step() }
        return "it went on"
      } catch let error as TrainingFailure {
        return "\(error)"
      }
    }
    #expect(messages.allSatisfy { $0 == messages[0] && $0.hasPrefix("step ") }, "\(messages)")
  }
}
