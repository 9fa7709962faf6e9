import Foundation
import Spawning
import Testing

private let hasTwoCores =
  (try? spawn(["bash", "-c", "source Launch/machine.sh; (($(physical_cores | wc -l) > 1))"]))?
  .status == 0

/// Launch scripts in environments that say other things than one would think.
@Suite(.serialized, .enabled(if: hasMPIRun, "mpirun is not installed"))
struct LaunchScriptTests {
  private static let lockstep = executable("lockstep")

  private func run(
    _ script: String = "Launch/run", ranks: Int = 1, environment: [String: String] = [:]
  ) throws -> Finished {
    try spawn([script, "-n", "\(ranks)", "--", Self.lockstep, "doctor"], environment: environment)
  }

  @Test(
    .enabled(if: hasTwoCores, "needs a core for each of two ranks"), arguments: ["1", "2", "8"])
  func whatOpenMPIsToldIsNotTheNumberOfCores(threads: String) throws {
    let finished = try run(ranks: 2, environment: ["OMP_NUM_THREADS": threads])
    #expect(finished.status == 0, "\(finished.errors)")
    #expect(!finished.errors.contains("share cores"), "\(finished.errors)")
    #expect(!finished.output.contains("note: "), "\(finished.output)")
  }

  @Test(arguments: ["Launch/run", "Launch/local-cluster", "Launch/demo", "Launch/test"])
  func scriptsFindTheirFolderUnderCDPATHAndThroughLinks(script: String) throws {
    try withTemporaryFolder { folder in
      let link = "\(folder)/a link"
      try FileManager.default.createSymbolicLink(
        atPath: link, withDestinationPath: "\(packageRoot)/\(script)")
      // The first lines alone: what finds the folder.
      let text = try String(contentsOfFile: "\(packageRoot)/\(script)", encoding: .utf8)
      let root = try #require(text.split(separator: "\n").first { $0.hasPrefix("root=") })
      let found = try spawn(
        [
          "bash", "-c", "\(root.replacing("BASH_SOURCE[0]", with: "1")); echo \"$root\"", "-", link,
        ],
        environment: ["CDPATH": ".:/:\(packageRoot)"])
      let expected = URL(fileURLWithPath: packageRoot).resolvingSymlinksInPath().path
      #expect(found.output == "\(expected)\n", "\(found.errors)")
    }
  }

  @Test func launchRunWorksThroughALinkUnderCDPATHAndAFolderWithBlanks() throws {
    try withTemporaryFolder { folder in
      let place = "\(folder)/with blanks"
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      let link = "\(place)/run it"
      try FileManager.default.createSymbolicLink(
        atPath: link, withDestinationPath: "\(packageRoot)/Launch/run")
      let program = "\(place)/lock step"
      try FileManager.default.createSymbolicLink(
        atPath: program, withDestinationPath: Self.lockstep)
      let finished = try spawn(
        [
          link, "-n", "1", "--", program, "train", "Configs/digits-mlp.yaml", "--set", "epochs=1",
          "--run-dir", "\(place)/a run",
        ], environment: ["CDPATH": ".:/", "TMPDIR": place])
      #expect(finished.status == 0, "\(finished.errors)")
      #expect(exists("\(place)/a run/summary.json"))
      // What is printed is typed as it stands.
      let line = try #require(
        finished.errors.split(separator: "\n").first { $0.contains(" -n 1 ") })
      let again = try spawn(
        [
          "bash", "-c", String(line).replacing("a run'", with: "another'"),
        ])
      #expect(again.status == 0, "\(line)\n\(again.errors)")
      #expect(exists("\(place)/another/summary.json"))
    }
  }

  @Test(.enabled(if: hasTwoCores, "needs two cores"))
  func aRankIsBoundToACoreThatThisProcessMayUse() throws {
    let cores = try spawn(["bash", "-c", "source Launch/machine.sh; physical_cores"])
      .output.split(separator: "\n").map(String.init)
    for core in cores {
      let finished = try spawn([
        "taskset", "-c", core, "Launch/run", "-n", "1", "--", Self.lockstep, "doctor",
      ])
      #expect(finished.status == 0, "\(finished.errors)")
      #expect(finished.output.contains("core(s) \(core) of"), "\(finished.output)")
      let shared = try spawn([
        "taskset", "-c", core, "Launch/run", "-n", "2", "--", Self.lockstep, "doctor",
      ])
      #expect(shared.status == 0 && shared.errors.contains("2 ranks on 1 cores"))
    }
  }

  @Test func aWordIsTypedAsAShellTakesIt() throws {
    let words = ["plain", "two words", "it's", "$HOME", "a\"b", "", "*", "-n", "x=1;rm"]
    let finished = try spawn(
      [
        "bash", "-c",
        #"source Launch/machine.sh; line=$(as_typed "$@"); eval "set -- $line"; printf '<%s>' "$@""#,
        "-",
      ] + words)
    #expect(finished.output == words.map { "<\($0)>" }.joined(), "\(finished.errors)")
  }
}
