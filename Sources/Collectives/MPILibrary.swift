/// A family of MPI libraries, whose members behave alike.
public enum MPILibrary: String, CaseIterable, Codable, Sendable {
  /// Open MPI.
  case openMPI = "openmpi"
  /// MPICH and those made from it whose algorithms are published: Cray MPICH and MVAPICH.
  case mpich
  /// Intel MPI, which is made from MPICH, but does not publish how it chooses algorithms.
  case intel
  /// Any other.
  case other

  /// The family of the library that calls itself `version` (`MPI_Get_library_version`).
  public init(version: String) {
    let families: [(words: String, library: MPILibrary)] = [
      ("Open MPI", .openMPI), ("Intel(R) MPI", .intel), ("MPICH", .mpich), ("MVAPICH", .mpich),
    ]
    self = families.first { version.contains($0.words) }?.library ?? .other
  }

  /// The name in a sentence.
  public var name: String {
    switch self {
    case .openMPI: "Open MPI"
    case .mpich: "MPICH"
    case .intel: "Intel MPI"
    case .other: "another MPI"
    }
  }

  /// Whether it is known how this library chooses the algorithm of an all-reduce.
  public var publishesItsAlgorithms: Bool { self == .openMPI || self == .mpich }
}
