import Foundation
import Spawning
import Testing

/// Whether this machine lets a cluster be made: root, the programs, and namespaces.
private let canMakeClusters: Bool = {
  let programs = ["ip", "tc", "unshare"].allSatisfy {
    (try? spawn(["which", $0]))?.status == 0
  }
  return programs && (try? spawn(["unshare", "--net", "true"]))?.status == 0
}()

/// Counted as the script does: this process may be bound to a core.
private let hasTwoCores =
  (try? spawn(["bash", "-c", "source Launch/machine.sh; [[ $(physical_cores | wc -l) -ge 2 ]]"]))?
  .status == 0

/// Runs Launch/local-cluster with the relay that was built beside the tests.
private func cluster(
  _ arguments: [String], _ command: [String], environment: [String: String] = [:]
) throws -> Finished {
  try spawn(
    ["Launch/local-cluster", "--relay", executable("delay-relay")] + arguments + ["--"] + command,
    environment: environment)
}

/// Clusters on this machine, made and taken down.
@Suite(
  .serialized, .enabled(if: canMakeClusters, "needs root, iproute2, an MPI and namespaces"),
  .enabled(if: hasTwoCores, "needs a core for each of two ranks"))
struct LocalClusterTests {
  /// What runs COMMAND in the shell of each node.
  private func inEachNode(_ script: String) -> [String] { ["sh", "-c", script] }

  @Test func nodesHaveHostNamesOfTheirOwnAndFindEachOther() throws {
    let finished = try cluster(
      ["-n", "2"], inEachNode("echo $(hostname) $(getent hosts node0 node1)"))
    #expect(finished.status == 0, "\(finished.errors)")
    let lines = Set(finished.output.split(separator: "\n"))
    #expect(
      lines == ["node0 10.0.0.1 node0 10.0.0.2 node1", "node1 10.0.0.1 node0 10.0.0.2 node1"])
  }

  @Test func eachRankHasACoreOfItsOwn() throws {
    let finished = try cluster(
      ["-n", "2"], inEachNode("grep Cpus_allowed_list: /proc/self/status"))
    #expect(finished.status == 0, "\(finished.errors)")
    #expect(Set(finished.output.split(separator: "\n")).count == 2, "\(finished.output)")
  }

  @Test func ranksOfOneNodeShareItsName() throws {
    let finished = try cluster(
      ["-n", "1", "--ranks-per-node", "2", "--delay", "1ms"], ["hostname"])
    #expect(finished.status == 0 && finished.output == "node0\nnode0\n", "\(finished.errors)")
  }

  @Test func ranksSpeakMPI() throws {
    let finished = try cluster(
      ["-n", "2", "--rate", "1gbit", "--delay", "100us"],
      [executable("mpi-checks"), "sum", "same-bits", "begin-sum", "move"])
    #expect(finished.status == 0 && finished.output == "ok 2\n", "\(finished.errors)")
  }

  @Test func theStatusOfTheCommandComesThrough() throws {
    let finished = try cluster(["-n", "2"], inEachNode("exit 7"))
    #expect(finished.status == 7, "\(finished.errors)")
    #expect(finished.output.isEmpty)
  }

  @Test func aStatusThatTheRanksChoseLeavesTheirOwnMessageAlone() throws {
    let finished = try cluster(
      ["-n", "2"],
      [executable("lockstep"), "train", "Configs/digits-mlp.yaml", "--set", "epochs=none"])
    #expect(finished.status == 2, "\(finished.errors)")
    let lines = finished.errors.split(separator: "\n")
    #expect(lines.count { !$0.hasPrefix("Launch/local-cluster: ") } == 1, "\(finished.errors)")
  }

  @Test func theCommandKeepsItsFolderAndEnvironment() throws {
    let finished = try cluster(
      ["-n", "2"], inEachNode(#"echo "$PWD $SPOKEN""#), environment: ["SPOKEN": "two  words"])
    let line = "\(packageRoot) two  words\n"
    #expect(finished.output == line + line, "\(finished.errors)")
    let relative = try cluster(["-n", "2"], ["Launch/local-cluster", "--help"])
    #expect(relative.status == 0, "\(relative.errors)")
    #expect(relative.output.components(separatedBy: "usage: Launch/local-cluster").count == 3)
  }

  /// What the command does last, and the status that follows from it.
  private static let endings: [(end: String, status: Int32)] = [
    // Every rank does; what comes second does nothing.
    ("exit 0", 0), ("exit 3", 3), ("kill -INT $script; sleep 600", 130),
    ("kill -TERM $script; sleep 600", 143), ("kill -HUP $script; sleep 600", 129),
    ("kill -USR1 $script; sleep 600", 138),
    // Nothing of this script is left that could have said anything.
    ("kill -KILL $script; sleep 600", 9),
  ]

  @Test(arguments: endings, [[], ["--rate", "1gbit", "--delay", "50us", "--delay-by", "relay"]])
  func nothingIsLeftHoweverItEnds(ending: (end: String, status: Int32), options: [String]) throws {
    let mark = UUID().uuidString
    try withTemporaryFolder { folder in
      let finished = try cluster(
        ["-n", "2"] + options,
        // Standard output may come later than the end of a script that is killed.
        inEachNode(
          """
          space=$(ip netns identify); script=${space#lockstep-}; script=${script%%-*}
          echo $script >'\(folder)/script'; sleep 0.3; \(ending.end)
          """),
        environment: ["LOCKSTEP_MARK": mark])
      #expect(finished.status == ending.status, "\(finished.errors)")
      let script = try String(contentsOfFile: "\(folder)/script", encoding: .utf8)
        .trimmingCharacters(in: .newlines)
      try expectNothing(of: "lockstep-\(script)-", mark: mark)
    }
  }

  /// Waits for the end of a cluster, whose script may have been killed before it, and looks.
  private func expectNothing(of prefix: String, mark: String) throws {
    let left = try whatIsLeft(mark: mark) {
      try spawn(["ip", "netns", "list"]).output.split(separator: "\n").map(String.init)
        .filter { $0.hasPrefix(prefix) }
        + FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix(prefix) }
    }
    #expect(left.isEmpty)
  }

  @Test func aMessageTakesAtLeastTheDelay() throws {
    let finished = try cluster(
      ["-n", "2", "--delay", "20ms"],
      inEachNode(
        "[ ${PMI_RANK:-$OMPI_COMM_WORLD_RANK} = 1 ] || '\(executable("delay-relay"))' measure 10.0.0.2"
      ))
    #expect(finished.status == 0, "\(finished.errors)")
    let quartiles = finished.output.split(separator: " ").compactMap {
      Double($0.trimmingCharacters(in: .newlines))
    }
    #expect(quartiles.count == 3)
    // There and back.
    #expect(quartiles.allSatisfy { $0 >= 2 * 20e6 }, "\(finished.output)")
    #expect(finished.errors.contains("20000 us asked for and "), "\(finished.errors)")
  }

  @Test func aTransferTakesAtLeastWhatTheRateLeavesIt() throws {
    let start = Date()
    // A sum of 4 MiB among others, of which each rank sends as much.
    let finished = try cluster(
      ["-n", "2", "--rate", "10mbit"], [executable("mpi-checks"), "begin-sum"])
    #expect(finished.status == 0, "\(finished.errors)")
    #expect(Date().timeIntervalSince(start) > 3)
  }
}

/// What Launch/local-cluster refuses, for which it needs no cluster.
struct LocalClusterUsageTests {
  private func expectOneMessage(_ finished: Finished, _ expected: String) {
    #expect(finished.status == 2, "\(finished.errors)")
    #expect(finished.output.isEmpty)
    #expect(finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
    #expect(finished.errors.contains(expected), "\(finished.errors)")
  }

  @Test(arguments: [
    (["-n", "0", "--", "true"], "-n is \"0\"; give a whole number"),
    (["-n", "two", "--", "true"], "-n is \"two\"; give a whole number"),
    (["-n", "1024", "--", "true"], "a bridge joins at most 1023 nodes; give fewer"),
    (["-n", "1", "--ranks-per-node", "9999", "--", "true"], "every rank needs its own"),
    (["-n", "1", "--rate", "fast", "--", "true"], "--rate is \"fast\"; give a number"),
    (["-n", "1", "--rate", "0gbit", "--", "true"], "--rate is \"0gbit\"; give a number"),
    (["-n", "1", "--rate", "100", "--", "true"], "--rate is \"100\"; give a number"),
    (["-n", "1", "--delay", "soon", "--", "true"], "--delay is \"soon\"; give a number"),
    (["-n", "1", "--delay", "2s", "--", "true"], "--delay is 2s; give at most 1s"),
    (["-n", "1", "--delay-by", "hand", "--", "true"], "give netem or relay"),
    (["-n", "2", "--delay-by", "relay", "--", "true"], "--delay-by needs --delay"),
    (["-n", "1", "--dealy", "1ms", "--", "true"], "\"--dealy\" is not an option"),
    (["-n", "1", "--rate", "--", "true"], "--rate lacks its value"),
    (["-n", "1", "true"], "\"true\" is not an option; COMMAND has to follow --"),
    (["-n", "1", "--"], "COMMAND is missing"),
    (["-n", "1"], "COMMAND is missing"),
    (["--", "true"], "-n NODES is missing"),
  ])
  func badArgumentsAreNamedOnce(arguments: [String], expected: String) throws {
    expectOneMessage(try spawn(["Launch/local-cluster"] + arguments), expected)
  }

  @Test(
    .enabled(if: canMakeClusters, "needs root, iproute2, an MPI and namespaces"),
    arguments: [
      (["-n", "1", "--", "/nowhere/lockstep"], "there is no program \"/nowhere/lockstep\""),
      (["-n", "1", "--rate", "1bit", "--", "true"], "--rate is 1bit, which tc refuses"),
    ])
  func whatOnlyRootIsToldIsNamedOnceToo(arguments: [String], expected: String) throws {
    expectOneMessage(try spawn(["Launch/local-cluster"] + arguments), expected)
  }

  @Test(arguments: [
    ("ip", "there is no ip on the PATH; install iproute2"),
    ("tc", "there is no tc on the PATH; install iproute2"),
  ])
  func aMissingProgramIsNamedWithItsPackage(program: String, message: String) throws {
    try withTemporaryFolder { folder in
      for name in [
        "bash", "dirname", "readlink", "sed", "seq", "cat", "awk", "unshare", "hostname",
      ] {
        let path = try spawn(["which", name]).output.trimmingCharacters(in: .newlines)
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder)/\(name)", withDestinationPath: path)
      }
      for name in ["ip", "tc"] where name != program {
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder)/\(name)", withDestinationPath: "/bin/true")
      }
      expectOneMessage(
        try spawn(
          ["Launch/local-cluster", "-n", "1", "--", "true"], environment: ["PATH": folder]),
        message)
    }
  }

  @Test(.enabled(if: canMakeClusters, "needs root, which it gives up"))
  func whoIsNotRootIsToldSo() throws {
    expectOneMessage(
      try spawn([
        "setpriv", "--reuid", "65534", "--clear-groups", "bash", "Launch/local-cluster", "-n", "1",
        "--", "true",
      ]), "only root can make network namespaces")
  }

  @Test func helpIsNoError() throws {
    let finished = try spawn(["Launch/local-cluster", "--help"])
    #expect(finished.status == 0 && finished.errors.isEmpty)
    #expect(finished.output.contains("--ranks-per-node"))
  }
}
