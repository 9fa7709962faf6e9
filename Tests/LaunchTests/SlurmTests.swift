import Foundation
import Spawning
import Testing

private let hasSlurm = canMakeNamespaces(programs: [
  "munged", "slurmctld", "slurmd", "sbatch", "mpirun", "ip", "setpriv",
])

/// Slurm inside this machine, and Launch/slurm.sbatch on it.
@Suite(
  .serialized,
  .enabled(if: hasSlurm, "needs root, slurmctld, slurmd, slurm-client, munge and namespaces"))
struct SlurmTests {
  @Test func aJobToldByUSR1GoesOnAfterARequeueToTheBitsOfAnUninterruptedOne() throws {
    let finished = try spawn(
      ["Tests/Slurm/try"], environment: ["LOCKSTEP": executable("lockstep")], seconds: 900)
    #expect(finished.status == 0, "\(finished.output)\(finished.errors)")
    #expect(finished.output.contains("srun: told by USR1"))
    #expect(finished.output.contains("mpirun: told by USR1"))
    #expect(finished.output.contains("bit for bit"))
  }

  @Test func nodesHaveNamesAndTheStatusOfTheCommandComesThrough() throws {
    let finished = try spawn([
      "Tests/Slurm/one-machine-slurm", "-n", "3", "--", "sh", "-c",
      "srun --nodes=3 hostname | sort; exit 7",
    ])
    #expect(finished.status == 7, "\(finished.errors)")
    #expect(finished.output == "node0\nnode1\nnode2\n", "\(finished.errors)")
  }

  @Test(arguments: [("TERM", 143), ("INT", 130), ("KILL", 137)])
  func nothingIsLeftHoweverItEnds(signal: String, status: Int32) throws {
    let mark = UUID().uuidString
    try withTemporaryFolder { folder in
      // The shell would have its background processes ignore SIGINT, but for its job control.
      let finished = try spawn(
        [
          "bash", "-c",
          """
          set -m
          Tests/Slurm/one-machine-slurm -- sh -c 'srun -N2 sh -c "touch \\"\(folder)/up\\"; sleep 600"' &
          for ((tries = 0; tries < 2400; tries++)); do
            [[ ! -e "\(folder)/up" ]] || break
            sleep 0.1
          done
          kill -\(signal) $!
          wait $!
          """,
        ], environment: ["LOCKSTEP_MARK": mark])
      #expect(finished.status == status, "\(finished.errors)")
      #expect(exists("\(folder)/up"), "\(finished.errors)")
    }
    #expect(try whatIsLeft(mark: mark).isEmpty)
  }
}

/// What Slurm leaves in the environment of a batch script, with a program that is there.
private let inJob = ["SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "LOCKSTEP": "/bin/true"]

/// What the scripts refuse, for which they need no Slurm.
struct SlurmUsageTests {
  @Test(arguments: [
    (["-n", "0", "--", "true"], "-n is \"0\"; give a whole number"),
    (["-n", "--", "true"], "-n lacks its value"),
    (["--nodes", "2", "--", "true"], "\"--nodes\" is no option"),
    (["true"], "\"true\" is no option, and COMMAND follows --"),
    (["-n", "2", "--"], "COMMAND is missing"),
  ])
  func badArgumentsAreNamedOnce(arguments: [String], expected: String) throws {
    let finished = try spawn(["Tests/Slurm/one-machine-slurm"] + arguments)
    #expect(finished.status == 2)
    #expect(finished.errors.contains(expected), "\(finished.errors)")
    #expect(finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
  }

  @Test(arguments: [
    ([String: String](), ["c", "d"], "this is not a Slurm job; submit it"),
    (inJob, ["c"], "usage: sbatch slurm.sbatch CONFIG DIR"),
    (inJob.merging(["LOCKSTEP": "/nowhere"]) { $1 }, ["c", "d"], "LOCKSTEP is \"/nowhere\""),
    (inJob.merging(["LAUNCHER": "mpiexec"]) { $1 }, ["c", "d"], "LAUNCHER is \"mpiexec\"; give"),
    (inJob.merging(["BIND": "all"]) { $1 }, ["c", "d"], "BIND is \"all\"; give core or none"),
  ])
  func theBatchScriptNamesWhatIsWrong(
    environment: [String: String], arguments: [String], expected: String
  ) throws {
    let finished = try spawn(
      ["bash", "Launch/slurm.sbatch"] + arguments, environment: environment)
    #expect(finished.status == 2)
    #expect(finished.errors.contains(expected), "\(finished.errors)")
    #expect(finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
  }

  /// Runs the batch script with `launcher` in the place of mpirun, and a scontrol that says what it
  /// was asked for.
  private func job(launcher: String, meanwhile: String = "") throws -> Finished {
    try withTemporaryFolder { folder in
      for (name, script) in [("mpirun", launcher), ("scontrol", "echo scontrol $*")] {
        try "#!/bin/bash\n\(script)\n".write(
          toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes(
          [.posixPermissions: 0o755], ofItemAtPath: "\(folder)/\(name)")
      }
      let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
      let settings = ["LAUNCHER": "mpirun", "PATH": "\(folder):\(path)", "UP": "\(folder)/up"]
      return try spawn(
        [
          "bash", "-c",
          """
          bash Launch/slurm.sbatch c d & job=$!
          [[ -z "\(meanwhile)" ]] || while [[ ! -e "$UP" ]]; do sleep 0.01; done
          \(meanwhile)
          wait $job
          """,
        ], environment: inJob.merging(settings) { $1 })
    }
  }

  @Test func aJobThatHasEndedOtherwiseIsNotQueuedAgain() throws {
    for status: Int32 in [0, 1, 2, 3, 127, 138] {
      let finished = try job(launcher: "exit \(status)")
      #expect(finished.status == status, "\(finished.errors)")
      #expect(finished.output.isEmpty)
    }
  }

  @Test func aJobThatWasInterruptedIsQueuedAgainToldOrNot() throws {
    #expect(try job(launcher: "exit 75").output == "scontrol requeue 1\n")
    let told = try job(
      launcher: "trap 'sleep 0.3; exit 75' USR1; touch $UP; while :; do sleep 0.05; done",
      meanwhile: "kill -USR1 $job; sleep 0.1; kill -USR1 $job")
    #expect(told.status == 75 && told.output == "scontrol requeue 1\n", "\(told.errors)")
  }

  @Test func aLauncherThatWasNotUpYetWhenToldIsQueuedAgain() throws {
    let told = try job(launcher: "touch $UP; exec sleep 60", meanwhile: "kill -USR1 $job")
    #expect(told.status == 75 && told.output == "scontrol requeue 1\n", "\(told.errors)")
  }

  @Test func aJobThatIsCancelledIsNotQueuedAgain() throws {
    let cancelled = try job(
      launcher: "trap 'exit 75' TERM; touch $UP; while :; do sleep 0.05; done",
      meanwhile: "kill -TERM $job")
    #expect(cancelled.status == 75 && cancelled.output.isEmpty, "\(cancelled.errors)")
  }
}
