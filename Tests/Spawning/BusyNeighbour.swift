import Foundation

/// Runs `body` beside a process that computes all the time, on one core where that is given.
///
/// It ends by itself after a minute of computing, whatever becomes of the test.
public func withBusyNeighbour<Result>(
  on core: String? = nil, _ body: (_ process: Int) throws -> Result
) throws -> Result {
  let neighbour = Process()
  neighbour.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  neighbour.arguments =
    (core.map { ["taskset", "-c", $0] } ?? [])
    + ["sh", "-c", "ulimit -t 60; while :; do :; done"]
  // Who waits for the end of this process's output must not wait for that one.
  neighbour.standardOutput = FileHandle.nullDevice
  neighbour.standardError = FileHandle.nullDevice
  try neighbour.run()
  defer {
    // It may have inherited that SIGTERM is blocked.
    kill(neighbour.processIdentifier, SIGKILL)
    neighbour.waitUntilExit()
  }
  return try body(Int(neighbour.processIdentifier))
}
