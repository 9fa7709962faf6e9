import Foundation
import LockstepAnalysis
import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepNorms
import LockstepRuns
import LockstepSafetensors
import LockstepTensors
import LockstepTraining
import Spawning
import Testing

/// Run directories that are left and come back to.
@Suite struct RunDirectoryTests {
  /// Trains in the directory at `path`, which may hold the run already, until after step `stop` or to
  /// the end, and returns the losses of these steps and the summary.
  private func train(
    _ run: RunConfiguration, in path: String, ranks: Int = 2, stop: Int? = nil,
    from: Int? = nil, atStep: @Sendable @escaping (Int) throws -> Void = { _ in },
    atEnd: @Sendable @escaping () throws -> Void = {}
  ) throws -> Part {
    let data = try run.loadData()
    return try withThreadRanks(ranks) { world in
      let context = try RankContext(world)
      var part = Part()
      let resumption = try Resumption.find(path, run, data: data, from: from, context: context)
      part.problems = resumption.problems
      part.changes = resumption.changes
      if case .end(let summary) = resumption.place {
        part.summary = summary
        part.hadEnded = true
        return part
      }
      let replica = try TrainingRun(run, data: data, context: context)
      if case .checkpoint(let checkpoint) = resumption.place { try replica.restore(checkpoint) }
      part.from = replica.stepsTaken
      let warnings = Warnings()
      let files = try RunFiles(
        at: path, run, resumption: resumption, vocabulary: data.vocabulary, context: context,
        warn: { warnings.texts.append($0) })
      let summary = try LockstepRuns.train(
        replica, ranks: context.size, after: files.earlier,
        asking: {
          StepRequests(stop: replica.stepsTaken + 1 == stop, checkpoint: files.isCheckpointDue)
        },
        onStep: {
          try files.append($0)
          if context.rank == 0 { try atStep($0.step) }
        },
        onEvaluation: { try files.append($0, step: $1) },
        onCheckpoint: { try files.checkpoint(replica, isDue: $0, evaluation: $1) })
      if let summary {
        if context.rank == 0 { try atEnd() }
        part.summary = try files.finish(summary)
      } else {
        try files.interrupt(signal: SIGTERM)
      }
      part.problems += warnings.texts
      return part
    }[0]
  }

  private final class Warnings { var texts: [String] = [] }

  private struct Part: Sendable {
    var from = 0
    var problems: [String] = []
    var changes: [String] = []
    var summary: RunSummary?
    var hadEnded = false
  }

  private func run(_ extra: [String] = []) throws -> RunConfiguration {
    try smallRun(
      .batch, steps: 20,
      extra: ["checkpoint={everySteps: 3, keep: 2, keepBest: 0}", "evaluate={everySteps: 5}"]
        + extra)
  }

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "nothing was wrong"
    } catch {
      return "\(error)"
    }
  }

  private func losses(_ path: String) throws -> [Double] {
    try RunMetrics(run: path).steps.map(\.loss)
  }

  @Test func aRunThatWasInterruptedLeavesTheFilesOfOneThatWasNot() throws {
    try withTemporaryFolder { folder in
      let (whole, parts) = ("\(folder)/whole", "\(folder)/parts")
      let expected = try #require(try train(run(), in: whole).summary)
      #expect(try train(run(), in: parts, stop: 4).summary == nil)
      let marker = try #require(Interruption(run: parts))
      #expect(marker.signal == "SIGTERM" && marker.step == 4)
      #expect(marker.checkpoint == "checkpoints/step-4.safetensors")
      #expect(try train(run(), in: parts, stop: 10).from == 4)
      #expect(!exists("\(parts)/summary.json"))
      let summary = try #require(try train(run(), in: parts).summary)
      #expect(!exists("\(parts)/interrupted.json"))
      #expect(summary.final == expected.final && summary.steps == 20)
      let (a, b) = (try RunMetrics(run: whole), try RunMetrics(run: parts))
      #expect(a.steps.map(\.loss) == b.steps.map(\.loss) && a.evaluations == b.evaluations)
      for step in [18, 20] {
        let files = [whole, parts].map { CheckpointFolder(run: $0).file(step: step) }
        let same = FileManager.default.contentsEqual(atPath: files[0], andPath: files[1])
        #expect(same, "step \(step)")
      }
      #expect(LaunchRecord(run: parts)?.resumed?.map(\.step) == [4, 10])
    }
  }

  @Test func theNewestAreKept() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      let summary = try #require(try train(run(), in: path).summary)
      #expect(CheckpointFolder(run: path).steps == [20, 18])
      #expect(summary.checkpoints?.written == 7)
      let files = try FileManager.default.contentsOfDirectory(atPath: "\(path)/checkpoints")
      #expect(files.count == 2)
    }
  }

  @Test func secondsAreAskedForByRankZeroAlone() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      let often = try run(["checkpoint={everySeconds: 0.001, keep: 50}"])
      let summary = try #require(try train(often, in: path).summary)
      #expect(summary.checkpoints.map { $0.written > 1 } == true)
      #expect(CheckpointFolder(run: path).steps.first == 20)
    }
  }

  @Test func aDamagedCheckpointIsNamedAndTheOneBeforeTaken() throws {
    try withTemporaryFolder { folder in
      let (whole, path) = ("\(folder)/whole", "\(folder)/run")
      _ = try train(run(), in: whole)
      _ = try train(run(), in: path, stop: 13)
      let checkpoints = CheckpointFolder(run: path)
      #expect(checkpoints.steps == [13, 12])
      let newest = URL(fileURLWithPath: checkpoints.file(step: 13))
      var data = try Data(contentsOf: newest)
      data[data.count - 7] ^= 4
      try data.write(to: newest)
      let part = try train(run(), in: path)
      #expect(part.from == 12)
      #expect(part.problems.count == 1)
      #expect(part.problems[0].contains("step-13.safetensors: is damaged"))
      #expect(try losses(path) == losses(whole))
      let ends = [whole, path].map { CheckpointFolder(run: $0).file(step: 20) }
      #expect(FileManager.default.contentsEqual(atPath: ends[0], andPath: ends[1]))
    }
  }

  @Test func aRunWhoseCheckpointsAreAllDamagedIsRefused() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      _ = try train(run(), in: path, stop: 13)
      for step in [12, 13] {
        try Data([1, 2, 3]).write(
          to: URL(fileURLWithPath: CheckpointFolder(run: path).file(step: step)))
      }
      let metrics = try Data(contentsOf: URL(fileURLWithPath: "\(path)/metrics.jsonl"))
      let found = message { _ = try train(run(), in: path) }
      #expect(found.contains("step-13.safetensors") && found.contains("step-12.safetensors"))
      #expect(try Data(contentsOf: URL(fileURLWithPath: "\(path)/metrics.jsonl")) == metrics)
    }
  }

  @Test func aRunWithoutACheckpointBeginsAnew() throws {
    try withTemporaryFolder { folder in
      let (whole, path) = ("\(folder)/whole", "\(folder)/run")
      _ = try train(run(), in: whole)
      _ = try train(run(), in: path, stop: 2)
      try FileManager.default.removeItem(atPath: CheckpointFolder(run: path).file(step: 2))
      let killed = "\(path)/checkpoints/step-2.safetensors.\(UUID().uuidString).partial"
      try Data([1]).write(to: URL(fileURLWithPath: killed))
      #expect(try train(run(), in: path).from == 0)
      #expect(!exists(killed))
      #expect(try losses(path) == losses(whole))
    }
  }

  @Test(arguments: [
    ("seed=4", "seed was 3 and is 4"), ("batch=8", "batch was 7 and is 8"),
    ("optimizer.momentum=0.5", "optimizer.momentum was 0.9 and is 0.5"),
    ("model.norm.kind=layer", "model.norm.kind was batch and is layer"),
    ("steps=19", "was to have 20 steps and has taken 6, but now it is to have 19"),
  ])
  func anotherRunIsNotGoneOnWith(setting: String, expected: String) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      _ = try train(run(), in: path, stop: 6)
      let found = message { _ = try train(run([setting]), in: path, ranks: 3) }
      #expect(found.contains(expected), "\(found)")
    }
  }

  @Test func aFolderWithoutARunIsRefused() throws {
    try withTemporaryFolder { folder in
      try Data().write(to: URL(fileURLWithPath: "\(folder)/file"))
      let found = message { _ = try train(run(), in: folder) }
      #expect(found.contains("it has no config.yaml"), "\(found)")
      let empty = "\(folder)/empty"
      try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
      #expect(try train(run(), in: empty, stop: 1).from == 0)
    }
  }

  @Test func anEmptyFolderIsTakenWhereItIs() throws {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      for name in ["empty", "target", "mounted", "begun"] {
        try files.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
      }
      try files.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "target")
      // What a file system leaves, and what a process leaves that is killed while it makes the directory.
      try files.createDirectory(
        atPath: "\(folder)/mounted/lost+found", withIntermediateDirectories: true)
      try files.createDirectory(
        atPath: "\(folder)/begun/checkpoints", withIntermediateDirectories: true)
      for name in ["metrics.jsonl", "config.yaml.\(UUID().uuidString).partial"] {
        try Data().write(to: URL(fileURLWithPath: "\(folder)/begun/\(name)"))
      }
      for name in ["empty", "link", "mounted", "begun"] {
        let path = "\(folder)/\(name)"
        let identity = try files.attributesOfItem(atPath: path + "/")[.systemFileNumber] as? Int
        try RunDirectory.check(path)
        _ = try RunDirectory(creating: path, run(), ranks: 1)
        let after = try files.attributesOfItem(atPath: path + "/")[.systemFileNumber] as? Int
        #expect(identity == after, "\(name) is the folder that it was")
        #expect(exists("\(path)/config.yaml") && exists("\(path)/checkpoints"))
        #expect(try train(run(), in: path, stop: 1).from == 0)
      }
      #expect(exists("\(folder)/target/config.yaml"))
    }
  }

  @Test func whereNoRunCanBeginIsSaidWithWhatToDo() throws {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      for name in ["full", "run", "other"] {
        try files.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
      }
      try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/full/thesis.tex"))
      try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/run/config.yaml"))
      try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/other/launch.json"))
      try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/file"))
      try files.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "nowhere")
      for (name, expected) in [
        ("full", "the folder is not empty: it holds thesis.tex; name an empty one"),
        ("other", "the folder is not empty: it holds launch.json"),
        ("run", "the run directory exists; name another with --run-dir, remove it, or go on"),
        ("file", "is not a folder; name another run directory"),
        ("link", "is a link to nowhere, which does not exist; make that folder"),
      ] {
        let before = try files.contentsOfDirectory(atPath: folder).sorted()
        let found = message {
          _ = try RunDirectory(creating: "\(folder)/\(name)", run(), ranks: 1)
        }
        #expect(found.contains(expected), "\(found)")
        #expect(try files.contentsOfDirectory(atPath: folder).sorted() == before)
      }
    }
  }

  @Test func theBestByEvaluationIsKeptBesideTheNewest() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      // It learns, and then does not.
      let settings = [
        "checkpoint={everySteps: 2, keep: 1, keepBest: 2}", "evaluate={everySteps: 3}",
        "model.norm.kind=layer", "optimizer={kind: sgd, learningRate: 1e-3}",
      ]
      _ = try train(run(settings), in: path, stop: 8)
      _ = try train(run(settings + ["optimizer.learningRate=3"]), in: path)
      let evaluations = try RunMetrics(run: path).evaluations
      let best = evaluations.sorted { $0.loss < $1.loss }.prefix(2).map(\.step)
      #expect(
        Set(CheckpointFolder(run: path).steps) == Set(best + [20]),
        "\(evaluations.map { ($0.step, $0.loss) })")
      let folder = CheckpointFolder(run: path)
      try folder.write(folder.read(step: 20), keep: 1, best: [best[1]])
      #expect(Set(folder.steps) == [best[1], 20])
    }
  }

  @Test func aBestCheckpointThatCannotBeWrittenIsNotTheBest() throws {
    try withTemporaryFolder { folder in
      let settings = [
        "checkpoint={everySteps: 2, keep: 1, keepBest: 1}", "evaluate={everySteps: 2}",
        "model.norm.kind=layer", "optimizer={kind: sgd, learningRate: 2}",
      ]
      _ = try train(run(settings), in: "\(folder)/whole")
      let order = try RunMetrics(run: "\(folder)/whole").evaluations.sorted { $0.loss < $1.loss }
        .map(\.step)
      try #require(order[0] < 20 && order[1] < 20, "\(order)")
      #expect(Set(CheckpointFolder(run: "\(folder)/whole").steps) == [order[0], 20])
      let path = "\(folder)/run"
      _ = try RunDirectory(creating: path, run(settings), ranks: 2)
      // No file can take its name.
      let obstacle = CheckpointFolder(run: path).file(step: order[0])
      let steps = try train(
        run(settings), in: path,
        atStep: { step in
          guard step == order[0] else { return }
          try FileManager.default.createDirectory(
            atPath: obstacle, withIntermediateDirectories: true)
        })
      #expect(steps.problems.contains { $0.contains("the run goes on without a checkpoint") })
      #expect(Set(CheckpointFolder(run: path).steps) == [order[0], order[1], 20], "\(order)")
    }
  }

  @Test func aRunGoesBackToAStepAndForgetsWhatCameAfter() throws {
    try withTemporaryFolder { folder in
      let (whole, path) = ("\(folder)/whole", "\(folder)/run")
      _ = try train(run(["checkpoint.keep=50"]), in: whole)
      _ = try train(run(["checkpoint.keep=50"]), in: path)
      #expect(CheckpointFolder(run: path).steps == [20, 18, 15, 12, 9, 6, 3])
      let back = try train(run(["checkpoint.keep=50"]), in: path, stop: 11, from: 9)
      #expect(back.from == 9)
      #expect(CheckpointFolder(run: path).steps == [11, 9, 6, 3])
      #expect(try RunMetrics(run: path).steps.map(\.step) == Array(1...11))
      #expect(try train(run(["checkpoint.keep=50"]), in: path).from == 11)
      #expect(try losses(path) == losses(whole))
      let none = message { _ = try train(run(), in: path, from: 7) }
      #expect(none.contains("--from 7: the run has checkpoints of 20, 18"), "\(none)")
      let nowhere = message { _ = try train(run(), in: "\(folder)/new", from: 7) }
      #expect(nowhere.contains("--from 7: there is no run in"), "\(nowhere)")
      #expect(!exists("\(folder)/new"))
    }
  }

  @Test func whatHelpsAgainstDivergenceMayChangeAndIsSaid() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      _ = try train(run(), in: path, stop: 6)
      let part = try train(
        run(["optimizer.learningRate=0.01", "clipNorm=1", "schedule.warmupSteps=3"]), in: path)
      #expect(part.from == 6)
      #expect(
        part.changes == [
          "clipNorm was nothing and is 1.0", "optimizer.learningRate was 0.05 and is 0.01",
          "schedule.warmupSteps was 0 and is 3",
        ])
    }
  }

  /// The data are told by their digest, not by where they lie.
  @Test func theSameDataElsewhereAreTheSameRun() throws {
    try withTemporaryFolder { folder in
      let text = (0..<100).map { "line \($0) of many" }.joined(separator: "\n")
      func run(_ data: String) throws -> RunConfiguration {
        let path = "\(folder)/\(data)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try Data((text + (data == "other" ? "!" : "")).utf8).write(
          to: URL(fileURLWithPath: "\(path)/text"))
        return try RunConfiguration(
          yaml: """
            model: {kind: transformer, context: 8, width: 8, heads: 2, layers: 1, norm: {kind: layer}}
            data: {kind: text, path: '\(path)/text'}
            batch: 8
            steps: 6
            optimizer: {kind: sgd, learningRate: 0.1}
            """, name: "text.yaml")
      }
      let path = "\(folder)/run"
      _ = try train(run("one"), in: path, stop: 2)
      #expect(try train(run("two"), in: path, stop: 4).from == 2)
      #expect(try train(run("two//"), in: path, stop: 5).from == 4)
      let found = message { _ = try train(run("other"), in: path) }
      #expect(found.contains("these are not the data that the run has seen"), "\(found)")
      // Without a checkpoint it begins anew, with the other text's characters.
      for step in CheckpointFolder(run: path).steps {
        try FileManager.default.removeItem(
          atPath: "\(path)/checkpoints/step-\(step).safetensors")
      }
      #expect(try train(run("other"), in: path, stop: 2).from == 0)
      let words = try String(contentsOfFile: "\(path)/vocabulary.json", encoding: .utf8)
      #expect(words.contains("!"), "\(words)")
    }
  }

  @Test func aNetworkThatIsNotFiniteIsNeitherWrittenNorGoneOnWith() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      // The last step's loss is finite, and its update is not.
      let settings = [
        "model.norm.kind=none", "optimizer={kind: sgd, learningRate: 1e-3, weightDecay: 100}",
        "checkpoint={everySteps: 1, keep: 9}",
      ]
      _ = try train(run(settings), in: path, stop: 3)
      let error = #expect(throws: TrainingFailure.self) {
        _ = try train(run(settings + ["optimizer.learningRate=3e38"]), in: path)
      }
      #expect(error?.step == 4, "\(String(describing: error))")
      #expect(error?.description.contains("a smaller learning rate, warm-up or clipNorm") == true)
      #expect(CheckpointFolder(run: path).steps == [3, 2, 1] && !exists("\(path)/summary.json"))
      // As an earlier version has written one.
      let folder = CheckpointFolder(run: path)
      let good = try folder.read(step: 3)
      let name = try #require(good.model.keys.sorted().first)
      var tensors = good.tensors
      guard case .float32(let tensor)? = tensors[name] else { return }
      tensors[name] = .float32(.filled(tensor.shape, with: .infinity))
      let diverged = Checkpoint(
        step: 4, optimizerSteps: 4, ranks: good.ranks, seed: good.seed,
        configuration: good.configuration, data: good.data, tensors: tensors)
      try diverged.encoded().write(to: URL(fileURLWithPath: folder.file(step: 4)))
      let (newest, problems) = try folder.newest()
      #expect(newest?.step == 3)
      #expect(problems.count == 1 && problems[0].contains("\(name) has a value that is not finite"))
      #expect(try train(run(settings), in: path, stop: 5).from == 3)
    }
  }

  @Test func aRunThatEndedIsLeftAloneUnlessItGrows() throws {
    try withTemporaryFolder { folder in
      let (whole, path) = ("\(folder)/whole", "\(folder)/run")
      _ = try train(run(), in: path)
      let again = try train(run(), in: path)
      #expect(again.hadEnded && again.summary?.steps == 20)
      #expect(LaunchRecord(run: path)?.resumed == nil)
      #expect(try train(run(["steps=26"]), in: path).from == 20)
      _ = try train(run(["steps=26"]), in: whole)
      #expect(try losses(path) == losses(whole))
      let (a, b) = (try RunSummary.read(run: whole), try RunSummary.read(run: path))
      #expect(a?.final == b?.final && b?.steps == 26)
      #expect(try RunConfiguration(path: "\(path)/config.yaml").length == .steps(26))
    }
  }

  /// It is not made again, since the longer run evaluates at other steps.
  @Test func theEvaluationAtTheEndOfAShorterRunStays() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      let settings = ["checkpoint={everySteps: 3, keep: 1, keepBest: 1}", "evaluate=null"]
      _ = try train(run(settings), in: path)
      _ = try train(run(settings + ["steps=23"]), in: path)
      let evaluations = try RunMetrics(run: path).evaluations
      #expect(evaluations.map(\.step) == [20, 23])
      let best = try #require(evaluations.min { $0.loss < $1.loss }).step
      #expect(Set(CheckpointFolder(run: path).steps) == [best, 23], "the best and the newest")
    }
  }

  @Test func aBatchPerRankKeepsItsNumberOfRanks() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      let perRank = try RunConfiguration(
        yaml: try smallRun(.layer, steps: 9).resolvedYAML.replacing(
          "batch: 7", with: "batchPerRank: 4"),
        name: "per-rank.yaml")
      _ = try train(perRank, in: path, stop: 2)
      let found = message { _ = try train(perRank, in: path, ranks: 3) }
      #expect(found.contains("batchPerRank on 2 rank(s) gave a batch of 8, but on 3"), "\(found)")
    }
  }

  @Test func nothingIsWrittenThroughALink() throws {
    try withTemporaryFolder { folder in
      let (path, victim) = ("\(folder)/run", "\(folder)/victim")
      let files = FileManager.default
      _ = try train(run(), in: path, stop: 3)
      try Data("untouched".utf8).write(to: URL(fileURLWithPath: victim))
      let next = CheckpointFolder(run: path).file(step: 6)
      try files.createSymbolicLink(atPath: next, withDestinationPath: victim)
      // It is no plain file, so it is no checkpoint either, and is replaced.
      #expect(try train(run(), in: path, stop: 6).from == 3)
      #expect(try String(contentsOfFile: victim, encoding: .utf8) == "untouched")
      #expect(try CheckpointFolder(run: path).read(step: 6).step == 6)
      let elsewhere = "\(folder)/elsewhere"
      try files.moveItem(atPath: "\(path)/checkpoints", toPath: elsewhere)
      try files.createSymbolicLink(
        atPath: "\(path)/checkpoints", withDestinationPath: elsewhere)
      let found = message { _ = try train(run(), in: path) }
      #expect(found.contains("checkpoints are not written through it"), "\(found)")
    }
  }

  @Test func aCheckpointThatCannotBeWrittenInTheMiddleIsAWarning() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      _ = try train(run(), in: path, stop: 3)
      // A folder cannot be replaced by a file: as good as a full disk, also for root.
      let obstacle = CheckpointFolder(run: path).file(step: 6)
      try FileManager.default.createDirectory(
        atPath: obstacle + "/x", withIntermediateDirectories: true)
      let part = try train(run(), in: path)
      #expect(part.from == 3 && part.summary?.steps == 20)
      #expect(part.problems.count == 2, "\(part.problems)")
      #expect(part.problems.last?.contains("the run goes on without a checkpoint") == true)
      #expect(CheckpointFolder(run: path).steps.first == 20)
    }
  }

  @Test func aCheckpointThatCannotBeWrittenAtTheEndIsAFailureAndTheOneBeforeStays() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      _ = try train(run(), in: path, stop: 19)
      let obstacle = CheckpointFolder(run: path).file(step: 20)
      try FileManager.default.createDirectory(
        atPath: obstacle + "/x", withIntermediateDirectories: true)
      let found = message { _ = try train(run(), in: path) }
      #expect(found.contains("step-20.safetensors: cannot be written"), "\(found)")
      #expect(!exists("\(path)/summary.json"))
      #expect(try CheckpointFolder(run: path).newest().checkpoint?.step == 19)
    }
  }

  @Test func aSummaryThatCannotBeWrittenIsAFailureAndTheRunIsNotLost() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      let error = #expect(throws: TrainingFailure.self) {
        _ = try train(
          run(), in: path,
          atEnd: {
            // A folder cannot be replaced by a file: as good as a full disk, also for root.
            try FileManager.default.createDirectory(
              atPath: "\(path)/summary.json/x", withIntermediateDirectories: true)
          })
      }
      #expect(error?.description.contains("make room there") == true)
      let part = try train(run(), in: path)
      #expect(part.from == 20 && part.summary?.steps == 20)
    }
  }

  @Test func twoRunsDoNotWriteOneDirectory() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/run"
      var first: RunDirectory? = try RunDirectory(creating: path, run(), ranks: 1)
      let found = message { _ = try train(run(), in: path) }
      #expect(found.contains("\(path): another process is writing this run"), "\(found)")
      #expect(first?.path == path)
      first = nil
      #expect(try train(run(), in: path, stop: 1).from == 0)
    }
  }

  /// What a run keeps in memory of its steps, and still says of them.
  @Test func aTallyIsBoundedAndRight() throws {
    let steps = try trained(smallRun(.layer, steps: 20), ranks: 1)[0].steps
    let tally = RunTally(steps)
    let last = steps.filter { $0.epoch == steps.last?.epoch }
    let expected =
      last.reduce(0) { $0 + $1.loss * Double($1.samples) }
      / Double(last.reduce(0) { $0 + $1.samples })
    #expect(tally.finalLoss == expected && tally.steps == 20)
    var long = RunTally()
    for _ in 0..<5 * RunTally.window { for step in steps.prefix(1) { long.append(step) } }
    #expect(long.steps == 5 * RunTally.window)
    #expect(long.times.stepMilliseconds.median == Double(steps[0].nanoseconds) / 1e6)
  }
}
