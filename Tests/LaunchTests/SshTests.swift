import Foundation
import Spawning
import Testing

private let hasSSH =
  canMakeNamespaces(programs: ["sshd", "ssh", "ssh-keygen", "mpirun", "ip"])
  && Launcher.current?.dialect == "openmpi"

/// mpirun over ssh between nodes inside this machine.
@Suite(
  .serialized, .enabled(if: hasSSH, "needs root, openssh-server, iproute2, Open MPI and namespaces")
)
struct SshTests {
  @Test func aRunOverSSHToldByUSR1GoesOnToTheBitsOfOneOnThisMachineAlone() throws {
    let finished = try spawn(
      ["Tests/Ssh/try"], environment: ["LOCKSTEP": executable("lockstep")], seconds: 900)
    #expect(finished.status == 0, "\(finished.output)\(finished.errors)")
    #expect(finished.output.contains("bit for bit"))
  }

  @Test func mpirunReachesTheOtherNodesThroughSSH() throws {
    let finished = try spawn([
      "Tests/Ssh/over-ssh", "-n", "3", "--", "sh", "-c",
      "echo $(hostname) $OMPI_COMM_WORLD_RANK ${SSH_CONNECTION%% *}",
    ])
    #expect(finished.status == 0, "\(finished.errors)")
    let lines = finished.output.split(separator: "\n").sorted()
    #expect(lines == ["node0 0", "node1 1 10.0.0.1", "node2 2 10.0.0.1"], "\(finished.errors)")
  }

  @Test(arguments: [("TERM", 143), ("INT", 130), ("KILL", 137)])
  func nothingIsLeftHoweverItEnds(signal: String, status: Int32) throws {
    let mark = UUID().uuidString
    try withTemporaryFolder { folder in
      let finished = try spawn(
        [
          "bash", "-c",
          """
          set -m
          Tests/Ssh/over-ssh -n 2 -- sh -c 'touch "\(folder)/up$OMPI_COMM_WORLD_RANK"; sleep 600' &
          echo lockstep-$!-
          for ((tries = 0; tries < 2400; tries++)); do
            [[ ! -e "\(folder)/up1" || ! -e "\(folder)/up0" ]] || break
            sleep 0.1
          done
          kill -\(signal) $!
          wait $!
          """,
        ], environment: ["LOCKSTEP_MARK": mark])
      #expect(finished.status == status, "\(finished.errors)")
      #expect(exists("\(folder)/up1"), "\(finished.errors)")
      let prefix = finished.output.trimmingCharacters(in: .newlines)
      // What sshd starts does not have its environment, but it is in a node.
      let left = try whatIsLeft(mark: mark) {
        try spawn(["ip", "netns", "list"]).output.split(separator: "\n").map(String.init)
          .filter { $0.hasPrefix(prefix) }
          + FileManager.default.contentsOfDirectory(atPath: "/tmp").filter { $0.hasPrefix(prefix) }
      }
      #expect(left.isEmpty)
    }
  }

  @Test func theSettingsForKubernetesLetTheirUserIn() throws {
    let finished = try spawn(["Tests/Ssh/as-pods-do", "id -u; exit 7"])
    #expect(finished.status == 7, "\(finished.errors)")
    #expect(finished.output == "1000\n", "\(finished.errors)")
  }
}

/// What the scripts refuse, for which they need no sshd.
struct SshUsageTests {
  @Test(arguments: [
    (["-n", "two", "--", "true"], "-n is \"two\"; give a whole number"),
    (["-n", "--", "true"], "-n lacks its value"),
    (["--hosts", "2", "--", "true"], "\"--hosts\" is no option"),
    (["-n", "2", "true"], "\"true\" is no option, and COMMAND follows --"),
    (["-n", "2", "--"], "COMMAND is missing"),
    (["--", "true"], "-n NODES is missing"),
  ])
  func badArgumentsAreNamedOnce(arguments: [String], expected: String) throws {
    let finished = try spawn(["Tests/Ssh/over-ssh"] + arguments)
    #expect(finished.status == 2)
    #expect(finished.errors.contains(expected), "\(finished.errors)")
    #expect(finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
  }
}
