import Foundation
import Spawning
import Testing

/// Standard output and error that are closed, full, slow, or read by nobody.
@Suite(.serialized) struct StreamTests {
  private static let lockstep = executable("lockstep")

  /// Runs a script in which `$L` is lockstep, `$C` a small configuration and `$D` a folder.
  private func shell(_ script: String, in folder: String) throws -> Finished {
    try spawn(
      ["bash", "-c", script],
      environment: ["L": Self.lockstep, "C": "\(packageRoot)/Configs/digits-mlp.yaml", "D": folder])
  }

  private static let train = #""$L" train "$C" --set epochs=2 --run-dir "$D/run""#

  /// Makes descriptor 4 a pipe whose reader is gone.
  private static let brokenPipe = #"mkfifo "$D/pipe"; exec 3<>"$D/pipe" 4>"$D/pipe" 3<&-; "#

  @Test(arguments: ["2>/dev/full", "2>&-", "0<&- 2>&-", "2>&4"])
  func aMessageThatCannotBeWrittenCostsNothingButTheMessage(redirection: String) throws {
    try withTemporaryFolder { folder in
      let finished = try shell("\(Self.brokenPipe)\(Self.train) \(redirection)", in: folder)
      #expect(finished.status == 0, "\(finished.errors)")
      #expect(exists("\(folder)/run/summary.json"))
    }
  }

  @Test(.enabled(if: exists("/usr/bin/python3"), "python3 makes a pipe that does not block"))
  func aPipeThatDoesNotBlockAndThatNobodyReadsCostsNothingButTheMessages() throws {
    try withTemporaryFolder { folder in
      let program = """
        import os, subprocess, sys
        read, write = os.pipe()
        os.set_blocking(write, False)
        try:
            while True: os.write(write, bytes(65536))
        except BlockingIOError: pass
        sys.exit(subprocess.run(sys.argv[1:], stderr=write).returncode)
        """
      let finished = try spawn([
        "python3", "-c", program, Self.lockstep, "train", "Configs/digits-mlp.yaml", "--set",
        "epochs=2", "--run-dir", "\(folder)/run",
      ])
      #expect(finished.status == 0, "\(finished.errors)")
      #expect(exists("\(folder)/run/summary.json"))
    }
  }

  @Test(
    arguments: [">/dev/full", ">&-", ">&4"],
    ["doctor", "--help", "--version", "claims --list", "bench step --help"])
  func aResultThatCannotBeWrittenIsAnErrorSaidOnce(redirection: String, command: String) throws {
    try withTemporaryFolder { folder in
      let finished = try shell(
        #"\#(Self.brokenPipe)"$L" \#(command) \#(redirection)"#, in: folder)
      #expect(finished.status == 3, "\(finished.errors)")
      let lines = finished.errors.split(separator: "\n").filter { $0.hasPrefix("Error: ") }
      #expect(lines.count == 1, "\(finished.errors)")
      #expect(lines.first?.contains("standard output: the result cannot be written") == true)
    }
  }

  @Test func aFileThatIsStandardOutputHasNothingElseInIt() throws {
    try withTemporaryFolder { folder in
      let finished = try shell(
        """
        \(Self.train) >/dev/null &&
        "$L" export "$D/run" --output "$D/model" &&
        "$L" export "$D/run" --output /dev/stdout >"$D/piped" &&
        "$L" trace "$D/run" --output /dev/stdout >"$D/trace.json" &&
        ln -s noise.json "$D/link" && "$L" doctor --noise "$D/link" >/dev/null &&
        "$L" doctor --noise /dev/stdout >"$D/piped-noise.json"
        """, in: folder)
      #expect(finished.status == 0, "\(finished.errors)")
      let files = FileManager.default
      #expect(files.contentsEqual(atPath: "\(folder)/model", andPath: "\(folder)/piped"))
      let trace = try #require(files.contents(atPath: "\(folder)/trace.json"))
      #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: trace) }
      #expect(try files.destinationOfSymbolicLink(atPath: "\(folder)/link") == "noise.json")
      for name in ["noise.json", "piped-noise.json"] {
        let noise = try #require(files.contents(atPath: "\(folder)/\(name)"))
        #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: noise) }
      }
    }
  }

  @Test func controlCharactersAreShownAndNotSent() throws {
    try withTemporaryFolder { folder in
      let finished = try shell(
        #""$L" train "$C" --run-dir $'a\e[31m\x01/b/c' --set batch=0"#, in: folder)
      let other = try shell(#""$L" train $'no\e[31m.yaml'"#, in: folder)
      #expect(finished.status == 2 && other.status == 2)
      #expect(other.errors.contains("no\\u{1B}[31m.yaml"), "\(other.errors)")
      #expect(!(finished.errors + other.errors).contains("\u{1b}"))
    }
  }

  @Test func closedStreamsAreNotTakenForFiles() throws {
    try withTemporaryFolder { folder in
      _ = try shell("\(Self.train) --tensorboard 0<&- 1>&- 2>&-", in: folder)
      let files = try FileManager.default.subpathsOfDirectory(atPath: folder)
      #expect(files.contains("run/summary.json"))
      for file in files {
        let text = FileManager.default.contents(atPath: "\(folder)/\(file)") ?? Data()
        // The first message of a run.
        #expect(!text.contains(Data("layer norm, ".utf8)), "\(file)")
      }
      let metrics = try String(contentsOfFile: "\(folder)/run/metrics.jsonl", encoding: .utf8)
      #expect(metrics.split(separator: "\n").allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
    }
  }

  @Test func aFileThatGrowsTooLargeIsAnErrorAndNotTheEndByASignal() throws {
    try withTemporaryFolder { folder in
      // 16 MiB, which MPI's own files do not take, and a checkpoint of 33 MB does.
      let wide = "--set model.hidden=[2048,2048]"
      let finished = try shell("ulimit -f 16384; \(Self.train) \(wide)", in: folder)
      #expect(finished.status == 3, "\(finished.errors)")
      #expect(finished.errors.contains("cannot be written"), "\(finished.errors)")
    }
  }

  @Test(.enabled(if: hasMPIRun, "mpirun is not installed"), arguments: ["2>/dev/full", "2>&-"])
  func launchRunSurvivesAStreamThatCannotBeWritten(redirection: String) throws {
    try withTemporaryFolder { folder in
      let finished = try shell(
        #"Launch/run -n 2 -- \#(Self.train) \#(redirection)"#, in: folder)
      #expect(finished.status == 0, "\(finished.errors)")
      #expect(exists("\(folder)/run/summary.json"))
    }
  }
}

/// What a terminal and a log show of a run in progress.
@Suite(.serialized) struct ProgressTests {
  @Test(
    .enabled(if: exists("/usr/bin/script"), "script makes a terminal"), arguments: [20, 40, 200])
  func theLineIsNoWiderThanTheTerminal(columns: Int) throws {
    try withTemporaryFolder { folder in
      let finished = try spawn([
        "script", "-qec",
        "stty cols \(columns); '\(executable("lockstep"))' train Configs/digits-mlp.yaml --set epochs=1"
          + " --run-dir '\(folder)/run' >/dev/null", "/dev/null",
      ])
      #expect(finished.status == 0, "\(finished.output)")
      let shown = finished.output.components(separatedBy: "\r\u{1b}[K").dropFirst().map {
        $0.prefix { $0 != "\r" && $0 != "\n" && $0 != "\r\n" }
      }.filter { !$0.isEmpty }
      #expect(shown.contains { $0.hasPrefix("step 1/12") }, "\(finished.output)")
      #expect(shown.allSatisfy { $0.count < columns }, "\(shown)")
      // The step stays, and what matters least goes first.
      #expect(shown.contains { $0.contains("in communication") } == (columns == 200))
    }
  }

  @Test func aLogHasLinesWithTheTime() throws {
    try withTemporaryFolder { folder in
      let finished = try spawn([
        executable("lockstep"), "train", "Configs/digits-mlp.yaml", "--set", "epochs=1",
        "--run-dir", "\(folder)/run",
      ])
      let lines = finished.errors.split(separator: "\n").filter { $0.contains("  loss ") }
      #expect(!lines.isEmpty, "\(finished.errors)")
      let time = /[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}  step .*/
      #expect(lines.allSatisfy { $0.wholeMatch(of: time) != nil }, "\(lines)")
    }
  }
}
