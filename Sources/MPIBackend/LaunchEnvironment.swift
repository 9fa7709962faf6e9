import Foundation
public import LockstepCollectives
public import LockstepFiles

/// What the launcher put into the environment.
public struct LaunchEnvironment: Sendable {
  /// One launcher's variables.
  private struct Launcher: Sendable {
    let name: String
    let size: String
    let rank: String
    let localRank: String
  }

  private static let launchers = [
    Launcher(
      name: "Open MPI's mpirun", size: "OMPI_COMM_WORLD_SIZE", rank: "OMPI_COMM_WORLD_RANK",
      localRank: "OMPI_COMM_WORLD_LOCAL_RANK"),
    Launcher(
      name: "a PMI launcher (MPICH, Intel MPI or srun)", size: "PMI_SIZE", rank: "PMI_RANK",
      localRank: "MPI_LOCALRANKID"),
    Launcher(
      name: "MVAPICH's launcher", size: "MV2_COMM_WORLD_SIZE", rank: "MV2_COMM_WORLD_RANK",
      localRank: "MV2_COMM_WORLD_LOCAL_RANK"),
    // Not SLURM_NTASKS, which every process of an allocation has: srun alone sets this.
    Launcher(
      name: "Slurm's srun", size: "SLURM_STEP_NUM_TASKS", rank: "SLURM_PROCID",
      localRank: "SLURM_LOCALID"),
  ]

  private let variables: [String: String]

  /// This process's environment.
  public static let current = LaunchEnvironment(ProcessInfo.processInfo.environment)

  /// An environment with these variables.
  public init(_ variables: [String: String]) { self.variables = variables }

  /// The launchers whose variables are set, with the number of ranks and the rank that they give.
  private var found: [(launcher: Launcher, size: Int, rank: Int)] {
    Self.launchers.compactMap { launcher in
      guard let size = variables[launcher.size].flatMap({ Int($0) }) else { return nil }
      return (launcher, size, variables[launcher.rank].flatMap { Int($0) } ?? 0)
    }
  }

  /// This process's rank according to the launcher, before MPI is asked; 0 if none says.
  public var rankHint: Int { found.first?.rank ?? 0 }

  /// Whether this process is its host's first rank according to the launcher, or rank 0.
  public var isFirstOfHost: Bool {
    // srun for a PMI library sets that library's rank, and only Slurm's own rank on the host.
    rankHint == 0 || found.lazy.compactMap { variables[$0.launcher.localRank] }.first == "0"
  }

  /// The name of the launcher; nil if the process was started alone.
  public var launcherName: String? { found.first?.launcher.name }

  /// The launcher in words, and that it belongs to `library`, which has been asked for the ranks.
  ///
  /// Another MPI's launcher would have ended in ``check(worldSize:library:)``.
  public func launcher(of library: MPILibrary) -> String {
    guard let launcher = found.first else { return "none (started alone)" }
    guard launcher.size > 1 else { return "\(launcher.launcher.name), one rank" }
    return "\(launcher.launcher.name), whose ranks \(library.name) sees"
  }

  /// The number of ranks according to the launcher; nil if none says.
  var rankCount: Int? { found.first?.size }

  /// Throws if the launcher says that there are several ranks and MPI says that there is one.
  ///
  /// The first launcher found decides, because `mpirun -n 1` inside a Slurm job of many tasks is correct.
  public func check(worldSize: Int, library: String) throws {
    guard worldSize == 1, let wrong = found.first, wrong.size > 1 else { return }
    throw LaunchError(
      description:
        "\(wrong.launcher.name) started \(wrong.size) processes (\(wrong.launcher.size)="
        + "\(wrong.size)), but the MPI that lockstep is linked with, \(library), sees each of them "
        + "alone. \(MPILibrary(version: library).launchAdvice) (`srun --mpi=list` lists what there is)."
    )
  }
}

/// A process that was started by the wrong launcher.
public struct LaunchError: ProgramError, Sendable {
  /// What was found and what to do instead.
  public let description: String
}
