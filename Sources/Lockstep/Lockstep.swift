public import LockstepCollectives
import LockstepCommand
public import LockstepDataParallel
import LockstepFiles

/// A program that trains over MPI.
public enum Lockstep {
  /// Starts MPI, runs `body` on every rank, and ends all ranks with one exit status: 0, or that of the error
  /// that it throws.
  ///
  /// An error that is the same on all ranks, such as those of a trainer or of
  /// `ranks.agreeing`, is printed once, by rank 0. One that a single rank
  /// throws ends all of them, so that none is left waiting.
  public static func run(_ body: (RankContext) throws -> Void) -> Never {
    RankedProgram.run { world in
      try body(RankContext(world))
      return ExitStatus.done
    }
  }
}

/// A program that uses the communicator alone.
public enum MPI {
  /// Starts MPI, runs `body` on every rank with the communicator of all, and ends them as
  /// ``Lockstep/run(_:)`` does.
  public static func run(_ body: (any Communicator) throws -> Void) -> Never {
    RankedProgram.run { world in
      try body(world)
      return ExitStatus.done
    }
  }
}
