import Foundation
import Spawning
import Testing

/// Short versions of the scripts below Tests/Faults.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct FaultTests {
  private static let canMount = (try? spawn(["unshare", "--mount", "true"]))?.status == 0

  @Test func aRankThatIsKilledCostsNothingButTime() throws {
    let finished = try spawn(
      [
        // Beside other tests an end takes longer than alone.
        "Tests/Faults/kill-ranks", "--rounds", "6", "--seed", "7", "--limit", "120", "--lockstep",
        executable("lockstep"),
      ], seconds: 600)
    #expect(finished.status == 0, "\(finished.errors)\(finished.output)")
    #expect(finished.output.hasPrefix("rounds 6, failures 0"), "\(finished.output)")
  }

  @Test func memoryAndTheRunDirectoryStayAsTheyAreOverManySteps() throws {
    let finished = try spawn(
      ["Tests/Faults/long-run", "--steps", "20000", "--lockstep", executable("lockstep")],
      seconds: 600)
    #expect(finished.status == 0, "\(finished.errors)\(finished.output)")
    #expect(finished.output.contains("0 steps on 2 ranks: resident at most"), "\(finished.output)")
  }

  @Test(.enabled(if: canMount, "needs root, for file systems of its own"))
  func noFaultOfTheStorageLosesOrInventsACheckpoint() throws {
    let programs = URL(fileURLWithPath: executable("lockstep")).deletingLastPathComponent().path
    let finished = try spawn(
      ["Tests/Faults/storage", "--share", "40", "--programs", programs], seconds: 600)
    #expect(finished.status == 0, "\(finished.errors)\(finished.output)")
    #expect(finished.output.split(separator: "\n").count == 7, "\(finished.output)")
  }
}
