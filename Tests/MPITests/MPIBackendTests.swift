import LockstepCollectives
import LockstepMPIBackend
import Spawning
import Testing

/// The backend on real ranks: each check of Tests/mpi-checks in worlds of 1 to 4.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct MPIBackendTests {
  @Test(arguments: [1, 2, 3, 4])
  func checksHold(ranks: Int) throws {
    let finished = try mpirun(
      ranks, "mpi-checks",
      [
        "sum", "bfloat16-sum", "same-bits", "begin-sum", "move", "blocks", "merge", "split",
        "throws", "truncation",
      ])
    #expect(finished.status == 0, "\(finished.errors)")
    #expect(finished.output == "ok \(ranks)\n")
  }

  @Test(arguments: [2, 3, 4])
  func oneRankThatAbortsEndsAllWithItsStatusAndItsReason(ranks: Int) throws {
    let finished = try mpirun(ranks, "mpi-checks", ["abort"], seconds: 30)
    #expect(finished.status == 3, "\(finished.errors)")
    #expect(finished.errors.contains("rank \(ranks - 1) gives up"))
  }

  @Test(arguments: [
    "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE",
  ])
  func aProcessStartedByAnotherLauncherSaysSo(variable: String) throws {
    let finished = try spawn([executable("mpi-checks"), "sum"], environment: [variable: "4"])
    #expect(finished.status == 2)
    #expect(finished.errors.contains("started 4 processes (\(variable)=4)"))
    #expect(finished.errors.contains("own mpi"))
  }
}

/// Whether a program that was compiled with one MPI's headers may run with another's library.
@Suite struct LibraryBehaviourTests {
  @Test(arguments: [
    ("Open MPI v4.1.4", "Open MPI v4.1.4, package: Debian"),
    ("Open MPI v4.1.4", "Open MPI v5.0.5"), ("MPICH 4.0.2", "MPICH Version:\t4.0.2\nABI"),
    ("MPICH 4.0.2", "Intel(R) MPI Library 2021.13"), ("MPI ABI 1.0", "Open MPI v6.0.0"),
  ])
  func whatBelongsTogetherRuns(header: String, library: String) throws {
    try MPILibrary.check(header: header, library: library)
  }

  @Test(arguments: [
    ("Open MPI v4.1.4", "MPICH Version: 4.0.2"), ("MPICH 4.0.2", "Open MPI v4.1.4"),
    ("Open MPI v5.0.5", "Open MPI v4.1.4"), ("Intel(R) MPI Library 2021.13", "Open MPI v5.0.5"),
  ])
  func whatDoesNotIsNamedOnBothSides(header: String, library: String) {
    let error = #expect(throws: LaunchError.self) {
      try MPILibrary.check(header: header, library: library)
    }
    #expect(error?.description.contains("headers of \(header)") == true)
    #expect(error?.description.contains(MPILibrary.oneLine(library)) == true)
  }
}

@Suite struct LaunchEnvironmentTests {
  @Test func theInnermostLauncherDecides() throws {
    let environment = LaunchEnvironment([
      "OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0", "SLURM_NTASKS": "8",
    ])
    try environment.check(worldSize: 1, library: "an MPI")
    #expect(environment.rankHint == 0)
  }

  @Test func aWorldOfTheLaunchersSizeIsRight() throws {
    let environment = LaunchEnvironment(["PMI_SIZE": "4", "PMI_RANK": "3"])
    try environment.check(worldSize: 4, library: "an MPI")
    #expect(environment.rankHint == 3 && !environment.isFirstOfHost)
    #expect(throws: LaunchError.self) { try environment.check(worldSize: 1, library: "an MPI") }
  }

  @Test(arguments: [
    ("OMPI_COMM_WORLD", "OMPI_COMM_WORLD_LOCAL_RANK"), ("PMI", "MPI_LOCALRANKID"),
  ])
  func aHostsFirstRankSpeaksForIt(launcher: String, localRank: String) {
    let places = [("0", "0", true), ("1", "1", false), ("2", "0", true)]
    for (rank, local, isFirst) in places {
      let environment = LaunchEnvironment([
        "\(launcher)_SIZE": "3", "\(launcher)_RANK": rank, localRank: local,
      ])
      #expect(environment.isFirstOfHost == isFirst, "rank \(rank)")
    }
  }

  @Test func srunTellsTheRankOnAHostOfAPMILibraryToo() {
    let environment = LaunchEnvironment([
      "PMI_SIZE": "4", "PMI_RANK": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2",
      "SLURM_LOCALID": "0",
    ])
    #expect(environment.rankHint == 2 && environment.isFirstOfHost)
  }

  @Test func aProcessStartedAloneIsRight() throws {
    let environment = LaunchEnvironment([:])
    try environment.check(worldSize: 1, library: "an MPI")
    #expect(environment.launcherName == nil && environment.isFirstOfHost)
  }
}
