import Foundation

/// A process that this one has started, in a process group of its own.
///
/// Foundation's `Process` counts as running until all that it started in its turn has ended as well. Ranks
/// that outlive their launcher would keep a test waiting for ever.
public final class ChildProcess {
  /// Its process id, which is its group's too.
  public let identifier: Int32
  private var end: Int32?

  /// Starts `command` in this package's folder with nothing on its standard input.
  ///
  /// It handles signals as by default and blocks none, and it inherits no open file up to number 255.
  ///
  /// - Parameters:
  ///   - command: A program, as a path or as a name on the PATH, and its arguments.
  ///   - environment: All its variables; ``surroundings`` if there are none.
  ///   - output: The file for its standard output.
  ///   - errors: The file for its standard error.
  /// - Throws: `POSIXError` if no process can be made. A program that does not exist ends with status 127.
  public init(
    _ command: [String], environment: [String: String]? = nil, output: String = "/dev/null",
    errors: String = "/dev/null"
  ) throws {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    for (number, path) in [(1, output), (2, errors)] as [(Int32, String)] {
      unsafe posix_spawn_file_actions_addopen(
        &actions, number, path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o644)
    }
    // It is no error to close what is not open.
    for number in Int32(3)..<256 { unsafe posix_spawn_file_actions_addclose(&actions, number) }

    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var (none, all) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

    // env looks the program up on the PATH that it is given, and ends with 127 if there is none.
    let words =
      unsafe (["env", "--chdir", packageRoot] + command).map { unsafe strdup($0) } + [nil]
    let variables =
      unsafe (environment ?? surroundings)
      .map { unsafe strdup("\($0)=\($1)") } + [nil]
    defer { unsafe (words + variables).forEach { unsafe free($0) } }
    var identifier: Int32 = 0
    let problem = unsafe posix_spawn(
      &identifier, "/usr/bin/env", &actions, &attributes, words, variables)
    guard problem == 0 else {
      throw POSIXError(POSIXErrorCode(rawValue: problem) ?? .EINVAL)
    }
    self.identifier = identifier
  }

  /// Its exit status, or the number of the signal that ended it; nil while it runs.
  public var status: Int32? {
    if end == nil {
      var word: Int32 = 0
      let found = unsafe waitpid(identifier, &word, WNOHANG)
      let signal = word & 0x7f
      if found == identifier { end = signal == 0 ? (word >> 8) & 0xff : signal }
      // Somebody else has taken its status.
      if found < 0 { end = -1 }
    }
    return end
  }

  /// Waits at most `seconds` for its end, and returns its status, or nil if it still runs.
  @discardableResult
  public func wait(seconds: Double) -> Int32? {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while status == nil, ContinuousClock.now < deadline { Thread.sleep(forTimeInterval: 0.005) }
    return status
  }

  /// Kills its group if it still runs.
  public func stop() {
    guard status == nil else { return }
    kill(-identifier, SIGKILL)
    wait(seconds: 60)
  }
}

/// This process's environment, without what would make a rank or a job step of what it starts, and without
/// what `stdbuf` did to the tests' own output.
public let surroundings = ProcessInfo.processInfo.environment.filter { name, value in
  name == "SLURM_CONF"
    || !["SLURM_", "PMI_", "PMIX_", "OMPI_COMM_", "HYD", "_STDBUF_"].contains(
      where: name.hasPrefix)
      && !(name == "LD_PRELOAD" && value.hasSuffix("/libstdbuf.so"))
}

/// The processes with `mark` in their environment.
public func processes(withMark mark: String) throws -> [Int32] {
  try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init).filter {
    // Most of them belong to others, and some have just ended.
    FileManager.default.contents(atPath: "/proc/\($0)/environ")
      .map { String(decoding: $0, as: UTF8.self).contains(mark) } ?? false
  }
}
