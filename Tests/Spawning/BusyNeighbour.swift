import Foundation

/// Runs `body` beside a process that computes all the time, on one core where that is given.
///
/// It ends by itself after a minute of computing, whatever becomes of the test.
public func withBusyNeighbour<Result>(
  on core: String? = nil, _ body: (_ process: Int) throws -> Result
) throws -> Result {
  let neighbour = try ChildProcess(
    (core.map { ["taskset", "-c", $0] } ?? [])
      + ["sh", "-c", "ulimit -t 60; while :; do :; done"])
  defer { neighbour.stop() }
  return try body(Int(neighbour.identifier))
}
