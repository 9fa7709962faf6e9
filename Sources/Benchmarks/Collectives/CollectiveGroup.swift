import Glibc
import LockstepCollectives
import LockstepRecording
import LockstepTensors

/// The first few ranks, which measure while the others wait.
final class CollectiveGroup {
  /// Carries only the collectives that are measured.
  let measured: any Communicator
  /// Carries what the ranks exchange about the measurement.
  let control: any Communicator
  /// Compares the group's clocks with rank 0's.
  let clocks: ClockComparison

  /// The group of the first `ranks` ranks of `world`; nil on the others.
  ///
  /// Collective.
  static func first(_ ranks: Int, of world: any Communicator) throws -> CollectiveGroup? {
    let part = try world.split(color: world.rank < ranks ? 0 : 1, key: world.rank)
    return world.rank < ranks ? try CollectiveGroup(part) : nil
  }

  private init(_ measured: any Communicator) throws {
    self.measured = measured
    control = try measured.duplicate()
    clocks = try ClockComparison(over: control)
  }

  /// The largest `value` of all ranks.
  func maximum(_ value: Double) throws -> Double {
    try control.allGather([value]).map { $0[0] }.max() ?? value
  }
}

/// Waits until every rank has arrived, asleep most of the time.
///
/// A blocking MPI call would keep a core busy that ranks which still measure may need.
///
/// - Returns: The sum of all ranks' `value`.
func meetAsleep(_ value: Int, over world: any Communicator) throws -> Int {
  let pending = try world.beginSum(Storage([Int64(value)]))
  while try !pending.test() { usleep(1000) }
  return Int(try pending.wait()[0])
}
