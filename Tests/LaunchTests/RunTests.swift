import Foundation
import Spawning
import Testing

/// Launch/run, with other programs in mpirun's place.
@Suite(.enabled(if: exists("/usr/bin/perl"), "perl makes the system call"))
struct RunTests {
  #if arch(x86_64)
    private static let futex = 202
  #else
    private static let futex = 98
  #endif

  /// Runs Launch/run where `program`, in Perl, is mpirun.
  private func run(withMPIRun program: String) throws -> Finished {
    try withTemporaryFolder { folder in
      let mpirun = "\(folder)/mpirun"
      try Data("#!/usr/bin/perl\n\(program)\n".utf8).write(to: URL(fileURLWithPath: mpirun))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: mpirun)
      let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
      return try spawn(
        ["Launch/run", "-n", "2", "--", "true"], environment: ["PATH": "\(folder):\(path)"])
    }
  }

  /// Whether the kernel says what other processes wait for.
  private static let showsWaits =
    (try? spawn([
      "bash", "-c",
      """
      sleep 600 & trap 'kill $!' EXIT
      for ((tries = 0; tries < 600; tries++)); do
        read -r place </proc/$!/wchan || exit 1
        [[ $place != *sleep* ]] || exit 0
        [[ $place != 0 ]] || sleep 0.1
      done
      exit 1
      """,
    ]))?.status == 0

  @Test(.enabled(if: showsWaits, "the kernel does not show what a process waits for"))
  func anMPIRunThatWaitsForItselfAfterItsRanksIsEnded() throws {
    let finished = try run(
      withMPIRun: """
        exit 0 unless fork;
        my $word = pack("L", 0);
        syscall(\(Self.futex), $word, 0, 0, 0);
        """)
    #expect(finished.status == 137, "\(finished.errors)")
    #expect(
      finished.errors.contains("no rank is left, and mpirun waits for itself"), "\(finished.errors)"
    )
  }

  @Test(arguments: [
    // Waits for something else, as one whose output nobody takes.
    "exit 0 unless fork; sleep 2; exit 7;",
    // Has ranks, of which one has ended.
    """
    unless (fork) { sleep 2; exit 0 }
    exit 0 unless fork;
    my $timeout = pack("qq", 2, 0);
    my $word = pack("L", 0);
    syscall(\(futex), $word, 0, 0, $timeout);
    exit 7;
    """,
    // Has no rank yet.
    """
    my $timeout = pack("qq", 2, 0);
    my $word = pack("L", 0);
    syscall(\(futex), $word, 0, 0, $timeout);
    exit 7;
    """,
  ])
  func oneThatMayStillEndIsNot(program: String) throws {
    let finished = try run(withMPIRun: program)
    #expect(finished.status == 7, "\(finished.errors)")
  }
}
