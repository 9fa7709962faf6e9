import Foundation
import LockstepCollectives
public import LockstepDataParallel
import LockstepFiles
package import LockstepMPIBackend

/// A program on every rank of an MPI job: from start to exit status.
package enum RankedProgram {
  /// Starts MPI, runs `body` on every rank, and ends all ranks alike.
  ///
  /// If all ranks throw the same error (a ``ProgramError`` says so), rank 0 prints it, and all exit with its
  /// status. If one rank throws an error alone, all ranks are ended with status 3: the others would wait for
  /// it forever.
  package static func run(_ body: (MPICommunicator) throws -> Int32) -> Never {
    StandardStreams.prepare()
    let world: MPICommunicator
    do {
      world = try MPIRuntime.start()
    } catch {
      // Another host may have another MPI, and rank 0 does not hear of it.
      let launch = LaunchEnvironment.current
      let who =
        launch.rankHint == 0
        ? "" : "rank \(launch.rankHint) on \(ProcessInfo.processInfo.hostName): "
      if launch.isFirstOfHost { printError("Error: \(who)\(error)") }
      Foundation.exit(ExitStatus.badInput)
    }
    let status: Int32
    do {
      status = try body(world)
    } catch let error where world.size == 1 || isSharedByAllRanks(error) {
      if world.rank == 0 { printError("Error: \(error)") }
      status = ExitStatus.of(error)
    } catch {
      // The other ranks do not know: without this they would wait forever.
      printError("Error: rank \(world.rank): \(error)")
      MPIRuntime.abort(world, status: ExitStatus.failed)
    }
    if world.rank == 0 { ExitStatus.tell(status) }
    MPIRuntime.finish()
    Foundation.exit(status)
  }

  private static func isSharedByAllRanks(_ error: any Error) -> Bool {
    (error as? any ProgramError)?.isSharedByAllRanks == true
  }
}

extension RankContext {
  /// Writes a line to standard output, on rank 0 alone.
  ///
  /// Collective. If the line cannot be written, all ranks throw the same error.
  public func print(_ text: String) throws {
    var problem = ""
    // All ranks wait while a slow reader takes the output.
    try waitingForOthers {
      if rank == 0 {
        do throws(ResultError) { try StandardStreams.write(text + "\n") } catch {
          problem = error.reason
        }
      }
      problem = try control.broadcast(problem, from: 0)
    }
    if !problem.isEmpty { throw ResultError(reason: problem) }
  }
}
