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

/// The path of one of this package's executables, built beside the tests.
public func executable(_ name: String) -> String {
  URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/" + name
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
    || !["SLURM_", "PMI_", "PMIX_", "OMPI_COMM_"].contains(where: name.hasPrefix)
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
    if !ended { process.terminate() }
    process.waitUntilExit()
    return Finished(
      status: ended ? process.terminationStatus : nil,
      output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8))
  }
}

/// Whether mpirun is installed.
public let hasMPIRun = exists("/usr/bin/mpirun")

/// The command that runs one of this package's executables on `ranks` ranks, more than there are
/// cores if need be.
public func mpirunCommand(_ ranks: Int, _ name: String, _ arguments: [String]) -> [String] {
  [
    "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "--mca",
    "mpi_yield_when_idle", "1", "-n", "\(ranks)", executable(name),
  ] + arguments
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
