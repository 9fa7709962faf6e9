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

  /// Runs Launch/run where `program`, in Perl, is a launcher that says `version` of itself.
  private func run(
    withMPIRun program: String, version: String = "mpirun (Open MPI) 4.1.4"
  ) throws -> Finished {
    try withTemporaryFolder { folder in
      let mpirun = "\(folder)/mpirun"
      let says = "if (\"@ARGV\" eq \"--version\") { print \"\(version)\\n\"; exit }"
      try Data("#!/usr/bin/perl\n\(says)\n\(program)\n".utf8)
        .write(to: URL(fileURLWithPath: mpirun))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: mpirun)
      return try spawn(
        ["Launch/run", "-n", "2", "--", "true"], environment: ["LOCKSTEP_MPIEXEC": mpirun])
    }
  }

  @Test(arguments: [
    ("mpirun (Open MPI) 4.1.4", "--bind-to"), ("mpirun (Open MPI) 5.0.5", "--bind-to"),
    ("HYDRA build details:", "-bind-to"),
    ("Intel(R) MPI Library for Linux* OS, Version 2021.13", "-genv I_MPI_PIN"),
  ])
  func everyLauncherIsSpokenToInItsOwnWords(version: String, words: String) throws {
    let finished = try run(withMPIRun: "print \"@ARGV\";", version: version)
    #expect(finished.status == 0, "\(finished.errors)")
    #expect(finished.output.contains("-n 2 ") && finished.output.hasSuffix(" true"))
    #expect(finished.output.contains(" \(words)"), "\(finished.output)")
    #expect(
      finished.output.contains("--allow-run-as-root") == (words == "--bind-to" && getuid() == 0))
  }

  @Test func aProgramThatDoesNotExistIsNamed() throws {
    let finished = try spawn(["Launch/run", "-n", "2", "--", "no-such-program"])
    #expect(finished.status == 2)
    #expect(
      finished.errors.contains("there is no program \"no-such-program\""), "\(finished.errors)")
  }

  /// Lines that Open MPI's mpirun adds about the status of ranks.
  private static let epilogue = """
    my $line = "-" x 74;
    print STDERR "our message\n$line\nmpirun has exited due to process rank 0\n$line\n";
    """

  @Test(arguments: [(2, false), (3, false), (75, false), (1, true), (137, true)])
  func whatALauncherAddsIsShownOnlyWhereRanksDidNotChooseTheStatus(
    status: Int32, isShown: Bool
  ) throws {
    let finished = try run(withMPIRun: "\(Self.epilogue) exit \(status);")
    #expect(finished.status == status)
    #expect(finished.errors.contains("our message"))
    #expect(finished.errors.contains("mpirun has exited") == isShown, "\(finished.errors)")
  }

  @Test(arguments: [(0, 75), (1, 75), (3, 3)])
  func afterASignalOnlyALaunchersOwnStatusIsReplacedByRankZeros(
    launcher: Int32, expected: Int32
  ) throws {
    // Rank 0 notes the signal in the file.
    let finished = try run(
      withMPIRun: """
        $SIG{USR1} = sub {
          open(my $file, ">", $ENV{LOCKSTEP_STATUS_FILE}); print $file "75"; close($file);
          exit \(launcher);
        };
        # Launch/run has to catch the signal first, or it would end by it.
        for (1..600) {
          open(my $state, "<", "/proc/" . getppid() . "/status");
          last if grep { /^SigCgt:.*(\\S{8})$/ && hex($1) & (1 << 9) } <$state>;
          select(undef, undef, undef, 0.1);
        }
        kill("USR1", getppid());
        sleep 60;
        """)
    #expect(finished.status == expected, "\(finished.errors)")
  }

  @Test func aLauncherThatIsNotThereIsNamed() throws {
    let finished = try spawn(
      ["Launch/run", "-n", "2", "--", "true"], environment: ["LOCKSTEP_MPIEXEC": "/nowhere/mpiexec"]
    )
    #expect(finished.status == 2)
    #expect(
      finished.errors
        == "Launch/run: LOCKSTEP_MPIEXEC is \"/nowhere/mpiexec\", which is not a program\n")
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
      finished.errors.contains("no rank is left, and the launcher waits for itself"),
      "\(finished.errors)"
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
