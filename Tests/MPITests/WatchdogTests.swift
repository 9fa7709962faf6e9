import Foundation
import Spawning
import Testing

/// That nothing is waited for for ever, on real ranks.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct WatchdogTests {
  /// Runs a check of Tests/mpi-checks that has to end by itself with status 3.
  private func alarm(_ check: String, ranks: Int) throws -> String {
    let finished = try mpirun(ranks, "mpi-checks", [check], seconds: 300)
    #expect(finished.status == 3, "\(finished.errors)")
    return finished.errors
  }

  @Test(arguments: [2, 4])
  func aStoppedRankIsNamedAndEveryOtherSaysWhereItIs(ranks: Int) throws {
    let errors = try alarm("watchdog-stop", ranks: ranks)
    let sum =
      "the all-reduce of 2 float64 for statistics of bn1, forward (number 1 on statistics)"
    for rank in 0..<ranks - 1 {
      #expect(errors.contains("watchdog: rank \(rank): step 5, has waited for "), "\(errors)")
    }
    #expect(errors.contains(" s in \(sum)"), "\(errors)")
    #expect(
      errors.contains(
        "Error: \(sum) has not completed in 4 s: rank \(ranks - 1) does not answer: stopped, dead or "
          + "cut off\n"), "\(errors)")
    #expect(errors.contains("warning: rank \(ranks - 1) has not reached \(sum) after 2 s\n"))
  }

  @Test(arguments: [2, 4])
  func anotherRankAsksWhereRankZeroIsStopped(ranks: Int) throws {
    let errors = try alarm("watchdog-stop-first", ranks: ranks)
    for rank in 1..<ranks {
      #expect(errors.contains("watchdog: rank \(rank): has waited for "), "\(errors)")
    }
    let verdicts = errors.components(
      separatedBy: "has not completed in 4 s: rank 0 does not answer")
    #expect(verdicts.count == 2, "said once: \(errors)")
  }

  @Test func aRankThatComputesOnIsLate() throws {
    let errors = try alarm("watchdog-late", ranks: 3)
    #expect(
      errors.contains(
        "Error: the nonblocking all-reduce of 3 float32 for gradient bucket 1 (number 2 on gradients) has "
          + "not completed in 4 s: rank 2 has not reached it (computing for "), "\(errors)")
    #expect(errors.contains("since the barrier for control (number 1 on gradients))"), "\(errors)")
    #expect(errors.contains("watchdog: rank 2: computing for "))
  }

  @Test func aRankInAnotherCollectiveIsNamedWithIt() throws {
    let errors = try alarm("watchdog-other", ranks: 3)
    #expect(errors.contains("barrier for control (number 1 on left)"), "\(errors)")
    #expect(errors.contains("barrier for control (number 1 on right)"), "\(errors)")
    let verdict = try #require(errors.split(separator: "\n").first { $0.hasPrefix("Error: ") })
    #expect(verdict.contains("has not reached it (has waited for "), "\(errors)")
  }

  @Test func aRankThatEndsIsLate() throws {
    let errors = try alarm("watchdog-end", ranks: 3)
    #expect(errors.contains("Error: the barrier for control"), "\(errors)")
    #expect(errors.contains("rank 2 has not reached it (has waited for "), "\(errors)")
    #expect(errors.contains(" s in the end of MPI)"), "\(errors)")
  }

  @Test func onlyThePartThatWaitsIsToldOf() throws {
    let errors = try alarm("watchdog-part", ranks: 4)
    #expect(
      errors.contains(
        "(number 1 on half) has not completed in 4 s: rank 3 does not answer: stopped, dead or cut off\n"
      ), "\(errors)")
    #expect(errors.contains("watchdog: rank 1: computing for "), "\(errors)")
  }

  @Test func aStragglerIsWarnedOfOnceACollectiveAndNothingElseHappens() throws {
    let finished = try mpirun(2, "mpi-checks", ["watchdog-straggler"], seconds: 300)
    #expect(finished.status == 0 && finished.output == "ok 2\n", "\(finished.errors)")
    for number in 1...2 {
      let warning =
        "warning: rank 1 has not reached the barrier for control (number \(number) on control) after 4 s\n"
      #expect(finished.errors.components(separatedBy: warning).count == 2, "\(finished.errors)")
    }
    #expect(finished.errors.split(separator: "\n").count == 2, "\(finished.errors)")
  }

  @Test func computingWhileASumIsInFlightIsNoWait() throws {
    let finished = try mpirun(2, "mpi-checks", ["watchdog-patient"], seconds: 300)
    #expect(finished.status == 0 && finished.errors.isEmpty, "\(finished.errors)")
  }

  @Test(arguments: [[], ["sh", "-c", "\"$@\"; exit $?", "sh"]])
  func ranksEndWithTheirLauncher(wrapper: [String]) throws {
    let command = mpirunCommand(2, "mpi-checks", ["wait"])
    let place = try #require(command.firstIndex(of: executable("mpi-checks")))
    try withTemporaryFolder { folder in
      // A name of their own to look for.
      let name = "\(folder)/checks-\(UUID().uuidString)"
      try FileManager.default.createSymbolicLink(
        atPath: name, withDestinationPath: executable("mpi-checks"))
      let errors = "\(folder)/errors"
      let mpirun = try ChildProcess(
        Array(command[..<place]) + wrapper + [name, "wait"], errors: errors)
      defer { mpirun.stop() }
      let deadline = Date().addingTimeInterval(120)
      while Date() < deadline,
        try !String(contentsOfFile: errors, encoding: .utf8).contains("waiting")
      {
        Thread.sleep(forTimeInterval: 0.05)
      }
      func ranks() throws -> Int {
        let found = try spawn(["pgrep", "-c", "-f", "^\(name) wait"])
        return Int(found.output.prefix { $0.isNumber }) ?? 0
      }
      #expect(try ranks() == 2)
      kill(mpirun.identifier, SIGKILL)
      #expect(mpirun.wait(seconds: 60) == SIGKILL)
      let limit = Date().addingTimeInterval(120)
      while try ranks() > 0, Date() < limit { Thread.sleep(forTimeInterval: 0.05) }
      #expect(try ranks() == 0)
    }
  }
}

/// Faults in training runs, each with the error that has to name it.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct FaultTests {
  /// Runs `faulty-ranks`, and expects what it said before its fault.
  private func run(_ kind: String, seed: Int, ranks: Int) throws {
    let finished = try mpirun(ranks, "faulty-ranks", [kind, "\(seed)", "8"], seconds: 300)
    #expect(finished.status == 3, "\(finished.errors)")
    let lines = finished.errors.split(separator: "\n").map(String.init)
    let expected = try #require(lines.first { $0.hasPrefix("expected: ") }, "\(finished.errors)")
    #expect(lines.contains(String(expected.dropFirst("expected: ".count))), "\(finished.errors)")
  }

  @Test(arguments: ["skip", "count", "type", "order"], [1, 2, 3])
  func aMismatchIsNamedBeforeItReachesMPI(kind: String, seed: Int) throws {
    try run(kind, seed: seed, ranks: 3)
  }

  @Test(arguments: [1, 2, 3])
  func bytesOfAnotherTypeAreNoticedWithinAStep(seed: Int) throws {
    try run("silent", seed: seed, ranks: 3)
  }

  @Test(arguments: [1, 2])
  func aStoppedRankIsNamedWithTheCollective(seed: Int) throws {
    try run("stop", seed: seed, ranks: 3)
  }

  @Test func cleanStepsRaiseNoAlarm() throws {
    let finished = try mpirun(3, "faulty-ranks", ["none", "1", "300"], seconds: 300)
    #expect(finished.status == 0 && finished.output == "ok 300\n", "\(finished.errors)")
    #expect(finished.errors.isEmpty, "\(finished.errors)")
  }
}
