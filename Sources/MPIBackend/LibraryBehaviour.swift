import Glibc
package import LockstepCollectives

/// What differs between MPI libraries; all else of this module is the same for all of them.
extension MPILibrary {
  /// Tells the library which algorithms to use, in a job of `ranks` ranks.
  ///
  /// It has to be called before MPI begins, and respects what the user asks for.
  ///
  /// - Open MPI gets recursive doubling for nonblocking all-reduces of two or three ranks. Its own choice
  ///   there is a tree. In a tree all bytes travel twice, and one rank waits for the answer of another, which
  ///   cannot answer while it computes. From four ranks on large sums have a better algorithm, which this
  ///   setting would turn off.
  /// - MPICH chooses recursive doubling there by itself.
  func chooseAlgorithms(ranks: Int?) {
    guard self == .openMPI, let ranks, ranks < 4 else { return }
    _ = unsafe setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "4", 0)
  }

  /// Waits until the launcher has taken what ranks wrote just before an abort.
  ///
  /// Hydra, the launcher of MPICH and Intel MPI, ends without reading it: 1 line in 12 was lost.
  func letLastLinesThrough() {
    if self != .openMPI { usleep(200_000) }
  }

  /// Whether a rank may wait forever in `MPI_Finalize` for one that came there before it had left its last
  /// collective.
  var waitsForAnswersInFinalize: Bool { self == .mpich }

  /// How a program that is linked with this library has to be started.
  var launchAdvice: String {
    switch self {
    case .openMPI:
      "Start it with Open MPI's own mpirun (Debian's is mpirun.openmpi), or under Slurm with "
        + "`srun --mpi=pmix`"
    case .mpich:
      "Start it with MPICH's own mpiexec (Debian's is mpiexec.mpich), or under Slurm with "
        + "`srun --mpi=pmi2`"
    case .intel:
      "Start it with Intel MPI's own mpirun, or under Slurm with `srun --mpi=pmi2` and "
        + "I_MPI_PMI_LIBRARY set to Slurm's libpmi2.so"
    case .other: "Start it with that MPI's own mpiexec, or under Slurm with `srun --mpi=…`"
    }
  }

  /// Throws if a program that was compiled with headers of `header` cannot run with `library`.
  ///
  /// Handles are pointers in Open MPI and integers in MPICH, so that a program that mixes them crashes. All
  /// libraries made from MPICH have the same binary interface (the MPICH ABI Compatibility Initiative). A
  /// newer Open MPI runs what was compiled for an older one. The standard ABI of MPI 5 runs with any library
  /// that has it.
  package static func check(header: String, library: String) throws(LaunchError) {
    let (compiled, linked) = (MPILibrary(version: header), MPILibrary(version: library))
    let isMPICH: (MPILibrary) -> Bool = { $0 == .mpich || $0 == .intel }
    let matches =
      header.isEmpty || header.hasPrefix("MPI ABI") || (isMPICH(compiled) && isMPICH(linked))
      || (compiled == linked && (major(of: library) ?? .max) >= (major(of: header) ?? 0))
    guard !matches else { return }
    throw LaunchError(
      description:
        "lockstep was compiled with the headers of \(oneLine(header)), but runs with the library "
        + "\(oneLine(library)). Build it again with LOCKSTEP_MPI=openmpi, mpich or the folder of one MPI, "
        + "and leave LD_LIBRARY_PATH without another one's.")
  }

  /// The first number in a version.
  private static func major(of version: String) -> Int? {
    version.split { !$0.isNumber }.first.flatMap { Int($0) }
  }

  /// The first line of what a library calls itself, with single blanks: "MPICH 4.0.2".
  package static func oneLine(_ version: String) -> String {
    let line = version.split(whereSeparator: \.isNewline).first ?? ""
    let words = line.split(whereSeparator: \.isWhitespace).filter { $0 != "Version:" }
    return words.joined(separator: " ")
  }
}
