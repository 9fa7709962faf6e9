import Foundation
import Spawning
import Testing

/// The command line on real ranks.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct CommandTests {
  private static let cases = [
    "layer", "rms", "group", "instance", "batch", "sync-batch", "batch-renorm", "scale", "l2",
    "weight", "adaptive-instance", "dynamic-tanh", "ghost-batch", "rms-zero-centered",
    "weight-standardization", "whitening", "lstm",
  ].map { "\(sharedFolder)/parity/\($0).safetensors" }
  private static let trajectories = [
    "resnet_sync", "resnet_group", "gpt_layer_pre", "gpt_layer_post", "gpt_rms_pre",
  ].map { "\(sharedFolder)/parity/trajectory_\($0).safetensors" }
  private static let hasParity = exists("\(sharedFolder)/parity")

  private func object(_ text: String) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test(
    .enabled(if: hasParity, "no parity files beside the package"), arguments: [1, 2, 3, 4],
    ["on", "off"])
  func everyParityCaseOfAnotherFrameworkPasses(ranks: Int, oneDNN: String) throws {
    let finished = try mpirun(
      ranks, "lockstep", ["parity", "--json"] + Self.cases,
      environment: ["LOCKSTEP_ONEDNN": oneDNN])
    #expect(finished.status == 0, "\(finished.errors)")
    let report = try object(finished.output)
    #expect(report["ranks"] as? Int == ranks)
    #expect(report["failed"] as? Int == 0)
    #expect((report["cases"] as? [Any])?.count == 79)
  }

  @Test(
    .enabled(if: hasParity, "no parity files beside the package"), arguments: [1, 2, 3, 4],
    ["on", "off"])
  func everyTrajectoryOfAnotherFrameworkIsFollowed(ranks: Int, oneDNN: String) throws {
    let finished = try mpirun(
      ranks, "lockstep", ["parity", "--json"] + Self.trajectories,
      environment: ["LOCKSTEP_ONEDNN": oneDNN])
    #expect(finished.status == 0, "\(finished.errors)\(finished.output)")
    #expect(try object(finished.output)["failed"] as? Int == 0)
  }

  @Test(
    .enabled(if: hasParity, "no parity files beside the package"),
    arguments: ["reference", "baseline", "x86-64-v3", "x86-64-v4"])
  func everyInstructionSetPassesTheParityCases(name: String) throws {
    let finished = try mpirun(
      2, "lockstep", ["parity", "--json"] + Self.cases,
      environment: ["LOCKSTEP_INSTRUCTION_SET": name])
    // A processor without it says which ones it has.
    if finished.errors.contains("this processor has") { return }
    #expect(finished.status == 0, "\(finished.errors)")
  }

  @Test func aRunWritesItsDirectoryAndRefusesToWriteItTwice() throws {
    try withTemporaryFolder { folder in
      let command = [
        "train", "Configs/digits-resnet.yaml", "--set", "epochs=1", "--run-dir", folder + "/run",
      ]
      let finished = try mpirun(2, "lockstep", command + ["--json"])
      #expect(finished.status == 0, "\(finished.errors)")
      let summary = try object(finished.output)
      #expect(summary["ranks"] as? Int == 2)
      let rows = try String(contentsOfFile: folder + "/run/metrics.jsonl", encoding: .utf8)
        .split(separator: "\n")
      #expect(rows.count == 12 + 1)
      #expect(try object(String(rows[12]))["split"] as? String == "test")
      for file in ["config.yaml", "summary.json", "checkpoints/step-12.safetensors"] {
        #expect(exists(folder + "/run/" + file), "\(file)")
      }
      let again = try mpirun(2, "lockstep", command)
      #expect(again.status == 2)
      #expect(again.errors.contains("the run directory exists"))
      let from = try mpirun(
        1, "lockstep",
        [
          "train", "Configs/digits-resnet.yaml", "--set", "epochs=1", "--set",
          "model.norm.kind=batch", "--run-dir", folder + "/next", "--init-from",
          folder + "/run/checkpoints/step-12.safetensors",
        ])
      #expect(from.status == 0, "\(from.errors)")
    }
  }

  @Test func aComparisonCountsStatisticsOfSynchronizedNormsAlone() throws {
    let finished = try mpirun(
      2, "lockstep",
      [
        "compare", "Configs/digits-resnet.yaml", "--norms", "batch,sync-batch,rms", "--set",
        "epochs=1", "--json",
      ])
    #expect(finished.status == 0, "\(finished.errors)")
    let results = try #require(try object(finished.output)["results"] as? [[String: Any]])
    let counts = results.map {
      ($0["statistics"] as? [String: Any])?["collectives_per_step"] as? Double
    }
    #expect(counts == [0, 18, 0])
  }

  @Test func aNormWhoseStepsDifferIsNotComparedByTime() throws {
    let arguments = [
      "compare", "Configs/digits-resnet.yaml", "--norms", "batch,sync-batch,layer", "--set",
      "model.norm.every=4", "--set", "epochs=1",
    ]
    let finished = try mpirun(2, "lockstep", arguments + ["--json"])
    #expect(finished.status == 0, "\(finished.errors)")
    let document = try object(finished.output)
    #expect(document["unlike_steps"] as? [String] == ["sync-batch"])
    let results = try #require(document["results"] as? [[String: Any]])
    #expect(results.map { $0["against_first"] != nil } == [false, false, true])
    let statistics = try #require(results[1]["statistics"] as? [String: Any])
    // Eleven steps with a whole batch, of which three synchronize nine layers forward and backward.
    #expect(statistics["collectives_per_step"] as? Double == 54.0 / 11)
    let shown = try mpirun(2, "lockstep", arguments)
    #expect(shown.output.contains("sync-batch: only every k-th step synchronizes"))
  }

  @Test func aNormThatDivergesBeforeItIsTimedHasNoStepTime() throws {
    let arguments = [
      "compare", "Configs/digits-mlp.yaml", "--norms", "none,layer", "--set", "epochs=1", "--set",
      "optimizer.learningRate=1e25",
    ]
    let finished = try mpirun(2, "lockstep", arguments + ["--json"])
    let results = try #require(try object(finished.output)["results"] as? [[String: Any]])
    let none = try #require(results[0]["step_ms"] as? [String: Any])
    #expect(none["median"] as? String == "nan", "\(results[0])")
    let shown = try mpirun(2, "lockstep", arguments).output.split(separator: "\n")
    let row = try #require(shown.first { $0.hasPrefix("none ") })
    #expect(!row.contains("0.00") && row.contains("–"), "\(row)")
  }

  @Test func claimsAreListedInEitherForm() throws {
    let shown = try spawn([executable("lockstep"), "claims", "--list", "causality"])
    #expect(shown.output.hasPrefix("causality\n"), "\(shown.errors)")
    let listed = try spawn([executable("lockstep"), "claims", "--list", "--json", "causality"])
    let document = try JSONSerialization.jsonObject(with: Data(listed.output.utf8))
    let claims = try #require(document as? [[String: Any]])
    #expect(claims.count == 1 && claims[0]["id"] as? String == "causality")
    #expect((claims[0]["source"] as? String).map(shown.output.contains) == true)
  }

  @Test func aComparisonSaysWhatIsSlowerThanTheFirst() throws {
    let finished = try mpirun(
      2, "lockstep",
      [
        "compare", "Configs/digits-resnet.yaml", "--norms", "batch,layer", "--repeats", "2",
        "--set",
        "epochs=1", "--json",
      ])
    #expect(finished.status == 0, "\(finished.errors)")
    let document = try object(finished.output)
    let share = try #require(document["disturbed_share"] as? Double)
    #expect((0...1).contains(share))
    let results = try #require(document["results"] as? [[String: Any]])
    #expect(results[0]["against_first"] == nil)
    let against = try #require(results[1]["against_first"] as? [String: Any])
    #expect(["slower", "faster", "undecided"].contains(against["verdict"] as? String))
    // Twelve steps a run, three turns, two runs; some rounds may be disturbed.
    #expect((0...6).contains(try #require(against["rounds"] as? Int)))
    let ratio = try #require(against["ratio"] as? [String: Double])
    #expect(Set(ratio.keys) == ["median", "low", "high"])
    let seeds = try #require(results[1]["seeds"] as? [String: Any])
    #expect(seeds["loss_against_first"] is [String: Any] && seeds["accuracy"] is [String: Any])
  }

  /// The neighbour is on the rank's own core all the time: some step is met by it.
  @Test func aStepWhoseCoreAnotherProcessTookIsMarked() throws {
    try withTemporaryFolder { folder in
      let core = try #require(
        (try spawn(["sh", "-c", "taskset -cp $$ | sed 's/.*: //; s/[-,].*//'"])).output
          .split(separator: "\n").first.map(String.init))
      let run = "\(folder)/run"
      let finished = try withBusyNeighbour(on: core) { _ in
        try spawn([
          "taskset", "-c", core, executable("lockstep"), "train",
          "\(packageRoot)/Configs/digits-mlp.yaml", "--set", "epochs=null", "--set", "steps=600",
          "--run-dir", run,
          "--json",
        ])
      }
      #expect(finished.status == 0, "\(finished.errors)")
      let times = try #require(try object(finished.output)["times"] as? [String: Any])
      let disturbed = try #require(times["disturbed"] as? [String: Any])
      #expect(try #require(disturbed["preempted"] as? Int) > 0)
      #expect(disturbed["rank"] as? Int == 0)
      let rows = try String(contentsOfFile: "\(run)/metrics.jsonl", encoding: .utf8)
      #expect(rows.contains("\"preempted\""))
    }
  }

  @Test func aBenchedStepPrintsItsContract() throws {
    let finished = try mpirun(
      2, "lockstep",
      [
        "bench", "step", "Configs/bench/resnet20.yaml", "--norm", "sync-batch", "--steps", "2",
        "--set", "batchPerRank=2", "--json",
      ])
    #expect(finished.status == 0, "\(finished.errors)")
    let result = try object(finished.output)
    let keys: Set = [
      "work", "norm", "ranks", "step_ms", "per_s", "peak_rss_mb", "collectives_per_step",
      "bytes_per_step",
    ]
    #expect(keys.isSubset(of: Set(result.keys)))
    #expect(result["work"] as? String == "resnet20")
    let collectives = try #require(result["collectives_per_step"] as? [String: Any])
    #expect(collectives["statistics"] as? Int == 2 * 21)
  }

  /// One matrix of all scores at 8,192 positions would take 256 MiB, forward and again backward.
  @Test func theMemoryOfAttentionIsLinearInTheLength() throws {
    func peak(_ context: Int) throws -> Double {
      let finished = try mpirun(
        1, "lockstep",
        [
          "bench", "step", "Configs/bench/gpt-mini.yaml", "--steps", "1", "--warmup", "0", "--json",
          "--set", "batchPerRank=1", "--set", "data.samples=1", "--set", "data.vocabulary=16",
          "--set",
          "model={kind: transformer, context: \(context), width: 16, heads: 1, layers: 1, "
            + "norm: {kind: layer}}",
        ])
      #expect(finished.status == 0, "\(finished.errors)")
      return try #require(try object(finished.output)["peak_rss_mb"] as? Double)
    }
    #expect(try peak(8192) < peak(1024) + 100)
  }

  @Test func aSplitNamesEveryCollectiveOfAStep() throws {
    let finished = try mpirun(
      2, "lockstep",
      [
        "bench", "split", "Configs/digits-resnet.yaml", "--norm", "sync-batch", "--steps", "3",
        "--json",
      ])
    #expect(finished.status == 0, "\(finished.errors)")
    let split = try #require(try object(finished.output)["split"] as? [String: Any])
    // On a busy machine some of the three are left out.
    let steps = try #require(split["steps"] as? Int)
    #expect((1...3).contains(steps) && (split["ranks"] as? [Any])?.count == 2)
    let sites = try #require(split["sites"] as? [[String: Any]])
    #expect(sites.count == 2 * 9 + 1, "nine norms in two passes, and one bucket")
    #expect(sites.allSatisfy { $0["collectives"] as? Double == 1 })
    for arguments in [["--norm", "layer"], ["--norm", "sync-batch", "--delay", "0"]] {
      let refused = try mpirun(
        2, "lockstep", ["bench", "split", "Configs/digits-resnet.yaml", "--check"] + arguments)
      #expect(refused.status == 2, "\(refused.errors)")
    }
  }

  @Test func claimsPrintTheirContractAndNameWhatTheyDoNotKnow() throws {
    let finished = try mpirun(
      2, "lockstep", ["claims", "causality", "--budget", "0.001", "--json"])
    #expect(finished.status == 0, "\(finished.errors)")
    let result = try object(finished.output)
    #expect(result["ranks"] as? Int == 2)
    let claim = try #require((result["claims"] as? [[String: Any]])?.first)
    let keys = ["id", "statement", "source", "method", "rule", "figures", "verdict", "because"]
    #expect(Set(keys).isSubset(of: Set(claim.keys)))
    let unknown = try mpirun(2, "lockstep", ["claims", "rms-cots"])
    #expect(unknown.status == 2 && unknown.errors.contains("did you mean \"rms-cost\""))
  }

  @Test func aLossThatIsNotFiniteEndsWithStatus3AndNamesTheStep() throws {
    try withTemporaryFolder { folder in
      let finished = try mpirun(
        2, "lockstep",
        [
          "train", "Configs/digits-resnet.yaml", "--set", "optimizer.learningRate=1e30",
          "--run-dir", folder + "/run",
        ])
      #expect(finished.status == 3, "\(finished.errors)")
      #expect(finished.errors.contains("Error: step "))
      #expect(!exists(folder + "/run/summary.json"))
    }
  }

  /// One message from rank 0, status 2 on every rank, nothing written.
  @Test(arguments: [
    (["train", "nowhere.yaml"], "nowhere.yaml: no such configuration file"),
    (["train", "Configs"], "Configs: is a folder; name a file"),
    (["train", "Configs/digits-resnet.yaml", "--set", "bacth=3"], "did you mean \"batch\"?"),
    (
      ["train", "Configs/digits-resnet.yaml", "--set", "batch=5000"], "larger than the training set"
    ),
    (["train", "Configs/digits-resnet.yaml", "--init-from", "nowhere"], "nowhere: no such file"),
    (
      ["train", "Configs/digits-resnet.yaml", "--init-from", "/dev/zero"],
      "/dev/zero: is a folder, a pipe or a device, not a file"
    ),
    (
      ["train", "Configs/digits-resnet.yaml", "--set", "data={kind: mnist, path: /nowhere}"],
      "/nowhere/train-images-idx3-ubyte: no such file"
    ),
    (["train"], "Missing expected argument '<configuration>'"),
    (["trian", "x"], "did you mean \"train\"?"),
    (["bench", "stpe", "x"], "unknown subcommand \"stpe\"; did you mean \"step\"?"),
    (
      ["compare", "Configs/digits-resnet.yaml", "--norms", "batch,layr"], "did you mean \"layer\"?"
    ),
    (["bench", "step", "Configs/bench/resnet20.yaml", "--steps", "0"], "--steps is 0"),
    (["bench", "step", "Configs/bench/resnet20.yaml", "--stpes", "3"], "--stpes"),
    (["parity", "Configs/digits-resnet.yaml"], "not a safetensors file"),
    (
      ["compare", "Configs/digits-resnet.yaml", "--norms", "batch,layer", "--run-dir", ""],
      "is empty, expected the path"
    ),
    (
      [
        "bench", "split", "Configs/digits-resnet.yaml", "--norm", "sync-batch", "--set",
        "model.norm.every=2", "--check",
      ], "leave every out"
    ),
    (
      [
        "bench", "cost", "Configs/digits-resnet.yaml", "--norms", "batch,sync-batch", "--set",
        "model.norm.every=2",
      ], "leave every out"
    ),
    (
      [
        "bench", "step", "Configs/digits-resnet.yaml", "--norm", "sync-batch", "--set",
        "model.norm.every=2",
      ], "leave every out"
    ),
    (
      [
        "bench", "prediction", "Configs/bench/resnet20.yaml", "--norms", "sync-batch", "--fabric",
        "10gbe", "--set", "model.norm.merge=all-gather",
      ], "cannot check merge all-gather"
    ),
    (
      [
        "compare", "Configs/digits-resnet.yaml", "--norms", "batch", "--set", "batch=1000", "--set",
        "epochs=1",
      ], "needs 3 steps or more"
    ),
    (["bench", "norms", "--shapes", "4294967296x4294967296"], "is invalid for"),
    (["bench", "norms", "--shapes", "2048x1001"], "of norm; leave it out of --norms"),
    (
      ["bench", "collectives", "--sizes", "64,4k", "--fabric", "runs/"],
      "names no file"
    ),
    (["predict", "runs/none", "--fabric", "10gbe", "--ranks", "8,8"], "8 is given twice"),
    (
      ["predict", "runs/none", "--fabric", "10gbe", "--ranks", "64", "--groups", "3"],
      "--groups has 3"
    ),
  ])
  func badInputIsNamedOnce(arguments: [String], expected: String) throws {
    try withTemporaryFolder { folder in
      let isRun = arguments.first == "train" && arguments.count > 1
      let finished = try mpirun(
        2, "lockstep", arguments + (isRun ? ["--run-dir", folder + "/run"] : []))
      #expect(finished.status == 2, "\(finished.errors)")
      #expect(finished.output.isEmpty)
      let message = finished.errors.components(separatedBy: expected)
      #expect(message.count == 2, "\(finished.errors)")
      #expect(!exists(folder + "/run"))
    }
  }

  @Test func theDoctorNamesWhatThereIs() throws {
    let finished = try mpirun(3, "lockstep", ["doctor", "--json"])
    #expect(finished.status == 0, "\(finished.errors)")
    let report = try object(finished.output)
    #expect((report["mpi"] as? String)?.isEmpty == false)
    #expect((report["ranks"] as? [Any])?.count == 3)
  }

  @Test func helpIsNoError() throws {
    let finished = try spawn([executable("lockstep"), "--help"])
    #expect(finished.status == 0)
    #expect(finished.output.contains("SUBCOMMANDS"))
  }

  @Test func aPredictionIsMadeFromARunAndWrongInputSaysWhatIsWrong() throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      let trained = try spawn([
        executable("lockstep"), "train", "\(packageRoot)/Configs/bench/resnet20.yaml", "--set",
        "model.norm.kind=sync-batch", "--set", "batchPerRank=4", "--set", "steps=8", "--set",
        "data.samples=64", "--run-dir", run,
      ])
      #expect(trained.status == 0, "\(trained.errors)")
      let other = "\(folder)/other"
      let narrow = try spawn([
        executable("lockstep"), "train", "\(packageRoot)/Configs/bench/resnet20.yaml", "--set",
        "model.norm.kind=layer", "--set", "batchPerRank=4", "--set", "steps=8", "--set",
        "data.samples=64", "--set", "precision=bfloat16", "--run-dir", other,
      ])
      #expect(narrow.status == 0, "\(narrow.errors)")
      let finished = try mpirun(
        2, "lockstep",
        ["predict", run, "--fabric", "10gbe", "--ranks", "4,100000", "--groups", "2", "--json"])
      #expect(finished.status == 0, "\(finished.errors)")
      let rows = try #require(try object(finished.output)["rows"] as? [[String: Any]])
      #expect(rows.compactMap { $0["ranks"] as? Int } == [4, 4, 100_000, 100_000])
      let priced = try mpirun(
        2, "lockstep",
        [
          "predict", run, "--fabric", "10gbe", "--ranks", "4", "--price", "2", "--target-loss",
          "100",
          "--noise", "recorded", "--json",
        ])
      #expect(priced.status == 0, "\(priced.errors)")
      let row = try #require((try object(priced.output)["rows"] as? [[String: Any]])?.first)
      let cost = try #require(row["cost"] as? [String: Double])
      let step = try #require((row["step_ms"] as? [String: Double])?["median"]) / 1e3
      // 64 samples, 4 a rank; the loss is below 100 from the first step on.
      #expect(cost["epoch_steps"] == 4 && cost["target_steps"] == 1)
      #expect(abs((cost["epoch_price"] ?? 0) / (4 * step / 3600 * 4 * 2) - 1) < 1e-9)
      #expect(abs((cost["target_s"] ?? 0) / step - 1) < 1e-9)
      let replay = "\(folder)/smpi"
      let traced = try spawn([
        executable("lockstep"), "trace", run, "--format", "smpi", "--ranks", "4", "--steps", "3",
        "--output", replay, "--json",
      ])
      #expect(traced.status == 0, "\(traced.errors)")
      let collectives = try #require(try object(traced.output)["collectives"] as? Int)
      let files = try String(contentsOfFile: "\(replay)/index.txt", encoding: .utf8)
        .split(separator: "\n").map(String.init)
      #expect(files.count == 4)
      for (rank, file) in files.enumerated() {
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        #expect(lines.first == "\(rank) init" && lines.last == "\(rank) finalize")
        #expect(lines.count { $0.hasPrefix("\(rank) allreduce ") } == collectives)
        // 42 of statistics, the buckets, and the losses' sum.
        #expect(collectives % 3 == 0 && collectives > 3 * 42)
      }
      let bad = [
        ([run, "--fabric", "20gbe"], "20gbe"), (["\(folder)/none", "--fabric", "10gbe"], "none"),
        ([run, "--fabric", "10gbe", "--ranks", "1"], "\"1\""),
        ([run, other, "--fabric", "10gbe"], "its precision is bfloat16, and"),
        ([other, "--fabric", "10gbe", "--ranks", "4", "--groups", "2"], "under sync-batch"),
        ([run, "--fabric", "10gbe", "--ranks-per-node", "2"], "--node-fabric"),
        ([run, "--fabric", "10gbe", "--price", "0"], "--price"),
        ([run, "--fabric", "10gbe", "--price", "much"], "--price"),
        ([run, "--fabric", "10gbe", "--target-loss", "-1"], "--target-loss"),
        ([run, "--fabric", "10gbe", "--target-loss", "1e-9"], "the lowest is"),
        ([run, "--fabric", "10gbe", "--noise", "\(folder)/quiet"], "no such file"),
        ([run, "--fabric", "10gbe", "--noise", "\(run)/config.yaml"], "not a JSON document"),
        ([run, "--fabric", "10gbe", "--noise", "\(run)/summary.json"], "unknown field"),
      ]
      for (arguments, mention) in bad {
        let refused = try mpirun(2, "lockstep", ["predict"] + arguments)
        #expect(refused.status == 2 && refused.output.isEmpty, "\(arguments)")
        #expect(refused.errors.contains(mention), "\(refused.errors)")
      }
      let without = "\(folder)/without"
      _ = try spawn([
        executable("lockstep"), "train", "\(packageRoot)/Configs/digits-mlp.yaml", "--set",
        "epochs=1", "--no-events", "--run-dir", without,
      ])
      let refused = try spawn([
        executable("lockstep"), "predict", without, "--fabric", "10gbe",
      ])
      #expect(refused.status == 2 && refused.errors.contains("holds no events"))
      let untraced = try spawn([
        executable("lockstep"), "trace", without, "--format", "smpi", "--output", "\(folder)/none",
      ])
      #expect(untraced.status == 2 && untraced.errors.contains("holds no events"))
      #expect(!exists("\(folder)/none"))
    }
  }
}
