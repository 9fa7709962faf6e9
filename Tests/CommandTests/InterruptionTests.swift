import Foundation
import Spawning
import Testing

/// Signals, and what comes after them, on real ranks.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct InterruptionTests {
  /// Twelve steps each: so many that a signal after the first fifteen steps comes before the last, however
  /// fast the machine is.
  private static let epochs = 150

  private static let settings = [
    "\(packageRoot)/Configs/digits-resnet.yaml", "--set", "epochs=\(epochs)", "--set",
    "model.norm.kind=batch-renorm", "--no-events",
  ]

  /// Starts a command, sends `signal` to it when its run has taken some more steps, and waits for its
  /// end.
  private func interrupted(_ command: [String], in run: String, by signal: String) throws
    -> Finished
  {
    // Without job control a shell lets what it starts in the background ignore SIGINT.
    let script = """
      set -m
      rows() { wc -l 2>/dev/null <'\(run)/metrics.jsonl' || echo 0; }
      before=$(rows)
      "$@" & pid=$!
      until (( $(rows) > before + 15 )); do sleep 0.02; done
      kill -\(signal) $pid
      wait $pid
      """
    return try spawn(["bash", "-c", script, "bash"] + command)
  }

  private func object(_ path: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  private func losses(_ run: String) throws -> [String] {
    try String(contentsOfFile: "\(run)/metrics.jsonl", encoding: .utf8).split(separator: "\n").map {
      let row = try #require(
        JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      return "\(row["step"] ?? "") \(row["split"] ?? "") \(row["loss"] ?? "")"
    }
  }

  @Test func aRunGoesOnAfterSignalsAsIfThereHadBeenNone() throws {
    try withTemporaryFolder { folder in
      let (whole, run) = ("\(folder)/whole", "\(folder)/run")
      let command = ["train"] + Self.settings + ["--resume", "--run-dir"]
      #expect(try mpirun(2, "lockstep", command + [whole]).status == 0)
      // The launcher passes USR1 on. After TERM, Open MPI's kills the ranks soon and returns 1; Hydra returns the
      // ranks' status, or now and then 0 after either.
      let isOpenMPI = try #require(Launcher.current).isOpenMPI
      for (signal, statuses) in [
        ("USR1", isOpenMPI ? [75] : [0, 75]), ("TERM", isOpenMPI ? [1] : [0, 75]),
      ]
        as [(String, Set<Int32?>)]
      {
        let finished = try interrupted(
          mpirunCommand(2, "lockstep", command + [run]), in: run, by: signal)
        #expect(statuses.contains(finished.status), "\(finished.errors)")
        let marker = try object("\(run)/interrupted.json")
        #expect(marker["signal"] as? String == "SIG\(signal)")
        let checkpoint = try #require(marker["checkpoint"] as? String)
        let step = try #require(marker["step"] as? Int)
        #expect(checkpoint == "checkpoints/step-\(step).safetensors")
        #expect(exists("\(run)/\(checkpoint)") && !exists("\(run)/summary.json"))
      }
      let last = try mpirun(2, "lockstep", command + [run])
      #expect(last.status == 0 && last.errors.contains("going on after step"), "\(last.errors)")
      #expect(!exists("\(run)/interrupted.json"))
      #expect(try losses(run) == losses(whole))
      let ends = [whole, run].map { "\($0)/checkpoints/step-\(12 * Self.epochs).safetensors" }
      #expect(FileManager.default.contentsEqual(atPath: ends[0], andPath: ends[1]))
      let again = try mpirun(2, "lockstep", command + [run])
      #expect(again.status == 0 && again.errors.contains("the run has ended"), "\(again.errors)")
    }
  }

  @Test(arguments: ["TERM", "INT", "USR1"])
  func launchRunReturnsTheStatusOfTheRanks(signal: String) throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      let finished = try interrupted(
        ["Launch/run", "-n", "2", "--", executable("lockstep"), "train"] + Self.settings
          + ["--run-dir", run], in: run, by: signal)
      #expect(finished.status == 75, "\(finished.errors)")
      #expect(exists("\(run)/interrupted.json"))
    }
  }

  @Test func signalsInTheMidstOfAKernelHarmNothing() throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      // Matrix products so large that most of the time is spent in them.
      let settings = ["model.hidden=[512,512]", "batch=512", "epochs=100000"].flatMap {
        ["--set", $0]
      }
      let script = """
        "$@" & pid=$!
        until [[ -s '\(run)/metrics.jsonl' ]]; do sleep 0.02; done
        for ((i = 0; i < 20000; i++)); do kill -USR1 $pid || break; done 2>/dev/null
        wait $pid
        """
      for _ in 1...3 {
        let finished = try spawn(
          ["bash", "-c", script, "bash", executable("lockstep"), "train"]
            + ["Configs/digits-mlp.yaml", "--no-events", "--run-dir", run] + settings)
        #expect(finished.status == 75, "\(finished.errors)")
        #expect(exists("\(run)/interrupted.json"))
        try FileManager.default.removeItem(atPath: run)
      }
    }
  }

  @Test func aRunThatHasEndedIsSaidToHaveOnEveryRank() throws {
    try withTemporaryFolder { folder in
      let command =
        [
          "train", "Configs/digits-mlp.yaml", "--set", "epochs=1", "--no-events", "--check",
          "collectives",
        ]
        + ["--resume", "--run-dir", "\(folder)/run"]
      let results = try (1...2).map { _ in try mpirun(3, "lockstep", command) }
      #expect(results.map(\.status) == [0, 0], "\(results.map(\.errors))")
      #expect(results[0].output == results[1].output)
      #expect(results[1].errors.contains("the run has ended; there is nothing to resume"))
    }
  }

  @Test(.enabled(if: exists("/usr/bin/prlimit"), "prlimit sets a limit for a process"))
  func aRunWhoseMetricsCannotBeWrittenStopsWithACheckpointAndGoesOnLater() throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      let settings = [
        "model.hidden=[8]", "epochs=1000", "evaluate={everyEpochs: 100}",
        "checkpoint={everyEpochs: 1000}",
      ]
      let command =
        [executable("lockstep"), "train", "Configs/digits-mlp.yaml", "--resume", "--run-dir", run]
        + settings.flatMap { ["--set", $0] }
      // More than a checkpoint takes.
      let script = """
        "$@" & pid=$!
        until [[ -s '\(run)/metrics.jsonl' ]]; do sleep 0.02; done
        prlimit --pid $pid --fsize=65536
        wait $pid
        """
      let stopped = try spawn(["bash", "-c", script, "bash"] + command)
      #expect(stopped.status == 3, "\(stopped.errors)")
      let errors = stopped.errors.split(separator: "\n").filter { $0.hasPrefix("Error: ") }
      #expect(errors.count == 1, "\(stopped.errors)")
      #expect(
        errors.first?.contains("/metrics.jsonl: cannot be written: File too large; make room")
          == true)
      #expect(!exists("\(run)/summary.json"))
      let resumed = try spawn(command)
      #expect(resumed.status == 0, "\(resumed.errors)")
      #expect(resumed.errors.contains("going on after step"), "\(resumed.errors)")
    }
  }

  @Test func aStateThatIsExportedIsTheModel() throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      let settings = ["Configs/digits-mlp.yaml", "--set", "epochs=1", "--no-events"]
      #expect(
        try mpirun(2, "lockstep", ["train"] + settings + ["--run-dir", run]).status == 0)
      let exported = try mpirun(2, "lockstep", ["export", run])
      #expect(exported.status == 0, "\(exported.errors)")
      #expect(exported.output == "\(run)/model.safetensors: 10 tensors of step 12\n")
      let from = try mpirun(
        1, "lockstep",
        ["train"] + settings + ["--run-dir", "\(folder)/next", "--init-from"]
          + ["\(run)/model.safetensors"])
      #expect(from.status == 0, "\(from.errors)")
      for (arguments, mention) in [
        ([run, "--step", "5"], "--step: is 5; the run has checkpoints of 12"),
        ([folder], "is not a run directory"),
      ] {
        let refused = try mpirun(1, "lockstep", ["export"] + arguments)
        #expect(refused.status == 2 && refused.errors.contains(mention), "\(refused.errors)")
      }
    }
  }

  /// Every file in a folder, by its path there.
  private func contents(_ folder: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for path in try FileManager.default.subpathsOfDirectory(atPath: folder) {
      files[path] = FileManager.default.contents(atPath: "\(folder)/\(path)")
    }
    return files
  }

  @Test func aRunThatAnotherProcessWritesIsLeftAsItIs() throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      let command = ["train", "Configs/digits-mlp.yaml", "--run-dir", run, "--set"]
      #expect(try mpirun(2, "lockstep", command + ["epochs=1"]).status == 0)
      let before = try contents(run)
      #expect(before.keys.contains { $0.hasPrefix("events/") })
      let longer = mpirunCommand(2, "lockstep", command + ["epochs=2", "--resume"])
      let refused = try spawn(["flock", run] + longer)
      #expect(refused.status == 2, "\(refused.errors)")
      #expect(
        refused.errors.components(separatedBy: "another process is writing this run").count == 2,
        "\(refused.errors)")
      #expect(try contents(run) == before)
      #expect(try spawn(longer).status == 0)
      #expect(try contents(run) != before)
    }
  }

  @Test(arguments: [
    (["--resume"], "--resume needs --run-dir"),
    (["--resume", "--run-dir", "Configs"], "it has no config.yaml"),
  ])
  func whatCannotBeResumedIsNamedOnce(arguments: [String], expected: String) throws {
    let finished = try mpirun(2, "lockstep", ["train", "Configs/digits-mlp.yaml"] + arguments)
    #expect(finished.status == 2 && finished.output.isEmpty, "\(finished.errors)")
    #expect(finished.errors.components(separatedBy: expected).count == 2, "\(finished.errors)")
  }
}
