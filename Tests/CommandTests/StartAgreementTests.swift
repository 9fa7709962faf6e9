import Foundation
import Spawning
import Testing

/// Ranks that were started differently, as mpirun can with a colon between them.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct StartAgreementTests {
  private static let configuration = """
    name: start
    model: {kind: mlp, hidden: [8], norm: {kind: layer}}
    data: {kind: digits}
    batch: 64
    steps: 2
    optimizer: {kind: sgd, learningRate: 0.1}
    """

  /// Trains on two ranks of which each has its own executable and assignments.
  private func train(
    _ binaries: [String], _ assignments: [[String]], in folder: String
  ) throws -> Finished {
    let file = folder + "/run.yaml"
    try Data(Self.configuration.utf8).write(to: URL(fileURLWithPath: file))
    let ranks = zip(binaries, assignments).map { binary, assignments in
      [binary, "train", file, "--run-dir", folder + "/run"]
        + assignments.flatMap { ["--set", $0] }
    }
    let first = try #require(Launcher.current).line(1) + ranks[0]
    return try spawn(first + [":", "-n", "1"] + ranks[1])
  }

  private func expectRefusal(_ finished: Finished, in folder: String, _ words: [String]) {
    #expect(finished.status == 2, "\(finished.errors)")
    for word in words { #expect(finished.errors.contains(word), "\(finished.errors)") }
    #expect(finished.errors.components(separatedBy: "Error:").count == 2, "one message")
    #expect(!exists(folder + "/run"), "nothing is written")
  }

  @Test func ranksOfDifferentSeedsAreRefused() throws {
    try withTemporaryFolder { folder in
      let lockstep = executable("lockstep")
      let finished = try train([lockstep, lockstep], [[], ["seed=7"]], in: folder)
      expectRefusal(finished, in: folder, ["the seed of rank 1 is not that of rank 0: 7, not 1"])
    }
  }

  @Test func ranksOfDifferentConfigurationsAreRefusedByTheValuesThatDiffer() throws {
    try withTemporaryFolder { folder in
      let lockstep = executable("lockstep")
      let finished = try train(
        [lockstep, lockstep], [[], ["optimizer.learningRate=0.2", "model.norm.epsilon=0.5"]],
        in: folder)
      expectRefusal(
        finished, in: folder,
        [
          "the configuration of rank 1", "optimizer.learningRate is 0.2, not 0.1",
          "model.norm.epsilon is 0.5, not 1e-05",
        ])
    }
  }

  @Test func ranksOfDifferentBinariesAreRefused() throws {
    try withTemporaryFolder { folder in
      let other = folder + "/lockstep"
      try FileManager.default.copyItem(atPath: executable("lockstep"), toPath: other)
      let file = try #require(FileHandle(forWritingAtPath: other))
      try file.seekToEnd()
      try file.write(contentsOf: Data([0]))
      try file.close()
      let finished = try train([executable("lockstep"), other], [[], []], in: folder)
      expectRefusal(
        finished, in: folder, ["the binary of rank 1", "put the same build on every host"])
    }
  }
}
