import Foundation
import Synchronization

/// What a finished process left.
public struct Finished: Sendable {
  /// Its exit status, or nil if it did not end in time and was killed.
  public let status: Int32?
  /// What it wrote to standard output.
  public let output: String
  /// What it wrote to standard error.
  public let errors: String
}

/// This package's root folder.
public let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

/// The folder beside the package with test data, which need not be there.
public let sharedFolder = packageRoot + "/../shared"

/// Whether there is a file or folder at `path`.
public func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

/// The path of one of this package's executables: built beside the tests, or with another MPI, in the
/// folder that LOCKSTEP_PROGRAMS names.
public func executable(_ name: String) -> String {
  let environment = ProcessInfo.processInfo.environment
  let folder =
    environment["LOCKSTEP_PROGRAMS"]
    ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
  return folder + "/" + name
}

/// A folder of its own for a test, removed afterwards.
public func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let path = NSTemporaryDirectory() + "lockstep-" + UUID().uuidString
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}

/// Held while a command runs, with the number of commands that were late.
///
/// Two jobs beside each other would wait for each other's time slices, and a machine has as many cores as it
/// has.
private let turn = Mutex(0)

/// Where commands hang, the tests would take hours if each one waited for its limit.
private struct CommandsHang: Error, CustomStringConvertible {
  let command: [String]

  var description: String {
    "three commands did not end in time; not started any more: \(command.joined(separator: " "))"
  }
}

/// Runs a command when no other one runs, and waits at most `seconds` for its end.
///
/// The limit is for what hangs; no test depends on how long a command takes. A late command is killed with
/// all that it started, and after three that hung, no command is started any more; `isExpectedToHang` is for the
/// test of that.
public func spawn(
  _ command: [String], environment: [String: String] = [:], seconds: Double = 300,
  isExpectedToHang: Bool = false
) throws -> Finished {
  try turn.withLock { late in
    guard late < 3 else { throw CommandsHang(command: command) }
    return try withTemporaryFolder { folder in
      // Files, not pipes: a full pipe would stop a process that nobody reads from.
      let (output, errors) = (folder + "/output", folder + "/errors")
      let mark = UUID().uuidString
      let variables = surroundings.merging(environment) { $1 }.merging(["LOCKSTEP_SPAWN": mark]) {
        $1
      }
      let child = try ChildProcess(command, environment: variables, output: output, errors: errors)
      let status = child.wait(seconds: seconds)
      var running = ""
      if status == nil {
        late += isExpectedToHang ? 0 : 1
        running = runningProcesses()
        // Our scripts give what they started ten seconds, and then clean up.
        kill(child.identifier, SIGTERM)
        child.wait(seconds: 30)
        child.stop()
        for process in try processes(withMark: mark) { kill(process, SIGKILL) }
      }
      func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
      }
      return Finished(
        status: status, output: try text(output), errors: try text(errors) + running)
    }
  }
}

/// This machine's processes as a tree, with what each waits for: what hangs is seldom the command itself.
private func runningProcesses() -> String {
  let text = try? withTemporaryFolder { folder in
    let list = ["ps", "-eo", "pid,stat,wchan:24,etimes,args", "--forest"]
    let child = try ChildProcess(list, output: folder + "/output")
    child.wait(seconds: 30)
    child.stop()
    return try String(contentsOfFile: folder + "/output", encoding: .utf8)
  }
  return "\nstill running:\n" + (text ?? "")
}

/// The launcher of the MPI that the executables are linked with, and how it is spoken to, as Launch/mpi.sh
/// says.
public struct Launcher: Sendable {
  /// openmpi (Open MPI up to 4), prrte (Open MPI 5), hydra (MPICH) or intel.
  public let dialect: String
  /// The words before the number of ranks.
  public let begin: [String]
  /// The words after it, for ranks that share cores.
  public let sharing: [String]

  /// The tests' launcher; nil if there is none.
  public static let current = Launcher()

  /// Open MPI otherwise looks for networks at each start, which takes longer than most of these commands.
  private static let quick = ["--gmca", "pml", "ob1"]

  /// The path of the compiler wrapper beside the launcher: mpicc, or mpicc.mpich beside mpiexec.mpich.
  public let compiler: String?

  /// Whether it is Open MPI's, of any version.
  public var isOpenMPI: Bool { ["openmpi", "prrte"].contains(dialect) }

  private init?() {
    let script = """
      root=$1
      source Launch/machine.sh
      source Launch/mpi.sh
      find_launcher tests "$2"
      begin_line ranks
      let_ranks_share_cores
      compiler=$(dirname "$launcher")/mpicc
      [[ "$launcher" != *.mpich && "$launcher" != *.openmpi ]] || compiler+=.${launcher##*.}
      printf '%s\\0' "$dialect" "$(type -P "$compiler")" "${line[@]}"
      """
    guard
      let found = try? spawn(
        ["bash", "-c", script, "bash", packageRoot, executable("mpi-checks")], seconds: 60),
      found.status == 0
    else { return nil }
    let words = found.output.split(separator: "\0", omittingEmptySubsequences: false)
      .map(String.init).dropLast()
    guard let place = words.firstIndex(of: "ranks") else { return nil }
    dialect = words[0]
    compiler = words[1].isEmpty ? nil : words[1]
    begin = Array(words[2..<place])
    sharing = Array(words[(place + 1)...]) + (dialect == "openmpi" ? Self.quick : [])
  }

  /// The words that start `ranks` ranks on shared cores.
  public func line(_ ranks: Int) -> [String] { begin + ["\(ranks)"] + sharing }
}

/// Whether there is a launcher for the executables.
public let hasMPIRun = Launcher.current != nil

/// The command that runs one of this package's executables on `ranks` ranks, more than there are
/// cores if need be.
public func mpirunCommand(_ ranks: Int, _ name: String, _ arguments: [String]) -> [String] {
  (Launcher.current?.line(ranks) ?? []) + [executable(name)] + arguments
}

/// Runs one of this package's executables on `ranks` ranks.
///
/// Where mpirun itself dies of a wrong address, as Open MPI 4.1's does now and then while it ends an
/// aborted job, the command is run again, twice at most.
public func mpirun(
  _ ranks: Int, _ name: String, _ arguments: [String], environment: [String: String] = [:],
  seconds: Double = 300
) throws -> Finished {
  func run() throws -> Finished {
    try spawn(
      mpirunCommand(ranks, name, arguments), environment: environment, seconds: seconds)
  }
  var (finished, again) = (try run(), 0)
  while finished.launcherDied, again < 2 {
    again += 1
    finished = try run()
  }
  return finished
}

extension Finished {
  /// Whether there is a backtrace of mpirun itself.
  fileprivate var launcherDied: Bool {
    errors.contains("*** Process received signal ***")
      && (errors.contains("] mpirun(") || errors.contains("show_help.c"))
  }
}
