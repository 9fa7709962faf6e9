import Foundation

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

/// This process's environment, without what would make a rank or a job step of what it starts.
private let surroundings = ProcessInfo.processInfo.environment.filter { name, _ in
  name == "SLURM_CONF"
    || !["SLURM_", "PMI_", "PMIX_", "OMPI_COMM_", "HYD"].contains(where: name.hasPrefix)
}

/// Held while a command runs: two jobs beside each other would wait for each other's time slices, and a
/// machine has as many cores as it has.
private let turn = NSLock()

/// Runs a command when no other one runs, and waits at most `seconds` for its end.
///
/// It handles signals as by default, even where these tests were started to ignore some. The limit is for
/// what hangs; no test depends on how long a command takes.
public func spawn(
  _ command: [String], environment: [String: String] = [:], seconds: Double = 300
) throws -> Finished {
  turn.lock()
  defer { turn.unlock() }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["--default-signal"] + command
  process.currentDirectoryURL = URL(fileURLWithPath: packageRoot)
  process.environment = surroundings.merging(environment) { $1 }
  process.standardInput = FileHandle.nullDevice
  return try withTemporaryFolder { folder in
    // Files, not pipes: a full pipe would stop a process that nobody reads from.
    let (output, errors) = (folder + "/output", folder + "/errors")
    for path in [output, errors] { try Data().write(to: URL(fileURLWithPath: path)) }
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
    // Threads of a test may block signals; what they start would not hear of its deadline.
    var (none, before) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
    let deadline = Date().addingTimeInterval(seconds)
    while process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.01) }
    let ended = !process.isRunning
    let running = ended ? "" : runningProcesses()
    if !ended { end(process) }
    process.waitUntilExit()
    return Finished(
      status: ended ? process.terminationStatus : nil,
      output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8) + running)
  }
}

/// Ends a command that is late: it has ten seconds to clean up, then its process group is killed.
///
/// Foundation waits for the end of all that the command started, not of the command alone.
private func end(_ process: Process) {
  process.terminate()
  let deadline = Date().addingTimeInterval(10)
  while process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.01) }
  if process.isRunning { kill(-process.processIdentifier, SIGKILL) }
}

/// This machine's processes as a tree, with what each waits for: what hangs is seldom the command itself.
private func runningProcesses() -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["ps", "-eo", "pid,stat,wchan:24,etimes,args", "--forest"]
  let output = Pipe()
  process.standardOutput = output
  guard (try? process.run()) != nil else { return "" }
  let text = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return "\nstill running:\n" + String(decoding: text, as: UTF8.self)
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
    sharing = Array(words[(place + 1)...])
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
