import Foundation
import Spawning
import Testing

/// What a Slurm allocation leaves in the environment of everything that is not started by srun.
private let allocation = [
  "SLURM_JOB_ID": "1234", "SLURM_JOBID": "1234", "SLURM_NNODES": "2", "SLURM_NTASKS": "4",
  "SLURM_NPROCS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
]

/// Commands in batch scripts, and those that need no ranks anywhere.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct BatchJobTests {
  private static let lockstep = executable("lockstep")

  /// A run of two steps of a transformer, for every command that reads one.
  private func train(in folder: String, environment: [String: String] = [:]) throws -> Finished {
    let text = (0..<200).map { "line \($0) of a text" }.joined(separator: "\n")
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/text"))
    try Data(
      """
      name: text
      model: {kind: transformer, context: 8, width: 16, heads: 2, layers: 1, norm: {kind: layer}}
      data: {kind: text, path: '\(folder)/text'}
      batch: 8
      steps: 4
      optimizer: {kind: adamw, learningRate: 1e-3}
      """.utf8
    ).write(to: URL(fileURLWithPath: "\(folder)/run.yaml"))
    return try spawn(
      [Self.lockstep, "train", "\(folder)/run.yaml", "--run-dir", "\(folder)/run"],
      environment: environment)
  }

  private static func commands(_ run: String) -> [[String]] {
    [
      ["report", run], ["trace", run], ["export", run], ["predict", run, "--fabric", "10gbe"],
      ["sample", run, "--prompt", "line", "--tokens", "3"], ["claims", "--list"], ["--help"],
      ["train", "--help"],
    ]
  }

  @Test func everyCommandWorksInAnAllocationWithoutSrun() throws {
    try withTemporaryFolder { folder in
      let trained = try train(in: folder, environment: allocation)
      #expect(trained.status == 0, "\(trained.errors)")
      for command in Self.commands("\(folder)/run") + [["doctor"]] {
        let finished = try spawn([Self.lockstep] + command, environment: allocation)
        #expect(finished.status == 0, "\(command): \(finished.errors)")
      }
    }
  }

  @Test func whatNeedsNoRanksStartsNoMPI() throws {
    try withTemporaryFolder { folder in
      #expect(try train(in: folder).status == 0)
      // With this MPI cannot start.
      let broken = ["OMPI_MCA_pml", "UCX_TLS", "FI_PROVIDER"].reduce(into: [:]) {
        $0[$1] = "none-of-that-name"
      }
      #expect(try spawn([Self.lockstep, "doctor"], environment: broken).status != 0)
      for command in Self.commands("\(folder)/run") {
        let finished = try spawn([Self.lockstep] + command, environment: broken)
        #expect(finished.status == 0, "\(command): \(finished.errors)")
      }
    }
  }

  @Test func rankZeroAloneDoesWhatNeedsNoRanks() throws {
    try withTemporaryFolder { folder in
      #expect(try train(in: folder).status == 0)
      for command in Self.commands("\(folder)/run") {
        let alone = try spawn([Self.lockstep] + command)
        let together = try mpirun(2, "lockstep", command)
        #expect(together.status == 0, "\(command): \(together.errors)")
        #expect(together.output == alone.output, "\(command)")
      }
      let refused = try mpirun(2, "lockstep", ["report", "\(folder)/none"])
      #expect(refused.status == 2, "\(refused.errors)")
      #expect(refused.errors.components(separatedBy: "no such run directory").count == 2)
    }
  }

  /// A run in the background of a script goes on when the script's shell has ended.
  @Test(arguments: [
    allocation.merging(["SLURM_NTASKS": "1"]) { $1 }, ["PMI_SIZE": "1", "PMI_RANK": "0"], [:],
  ])
  func aRunOutlivesTheShellThatStartedIt(environment: [String: String]) throws {
    try withTemporaryFolder { folder in
      let run = "\(folder)/run"
      let script = """
        nohup '\(Self.lockstep)' train Configs/digits-resnet.yaml --set epochs=40 --no-events \
          --run-dir '\(run)' >'\(folder)/log' 2>&1 & echo $!
        until [[ -s '\(run)/metrics.jsonl' ]]; do sleep 0.02; done
        """
      let started = try spawn(["bash", "-c", script], environment: environment)
      #expect(started.status == 0, "\(started.errors)")
      let process = try #require(
        Int32(started.output.trimmingCharacters(in: .newlines)), "\(started.output)")
      defer { if !exists("\(run)/summary.json") { kill(process, SIGKILL) } }
      func rows() -> Int {
        FileManager.default.contents(atPath: "\(run)/metrics.jsonl")?.count ?? 0
      }
      var (before, still) = (-1, 0)
      // It ends, or it stands still.
      while !exists("\(run)/summary.json"), still < 300 {
        Thread.sleep(forTimeInterval: 0.1)
        let now = rows()
        still = now > before ? 0 : still + 1
        before = now
      }
      let log = (try? String(contentsOfFile: "\(folder)/log", encoding: .utf8)) ?? ""
      #expect(exists("\(run)/summary.json"), "\(log)")
    }
  }

  @Test func sixRunsThatBeginAtOnceHaveSixDirectories() throws {
    try withTemporaryFolder { folder in
      let script = """
        cd '\(folder)'
        for i in 1 2 3 4 5 6; do
          '\(Self.lockstep)' train '\(packageRoot)/Configs/digits-mlp.yaml' --set epochs=1 \
            --set 'name=a & b/c' >"$i" 2>&1 & jobs+=($!)
        done
        status=0
        for job in "${jobs[@]}"; do wait "$job" || status=1; done
        exit $status
        """
      let finished = try spawn(["bash", "-c", script])
      let messages = try (1...6).map {
        try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8)
      }
      #expect(finished.status == 0, "\(messages)")
      let runs = try FileManager.default.contentsOfDirectory(atPath: "\(folder)/runs")
      #expect(runs.count == 6 && runs.allSatisfy { $0.hasPrefix("a---b-c-") }, "\(runs)")
      for run in runs { #expect(exists("\(folder)/runs/\(run)/summary.json"), "\(run)") }
    }
  }
}
