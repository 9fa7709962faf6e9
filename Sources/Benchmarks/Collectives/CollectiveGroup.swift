import Glibc
import LockstepCollectives
import LockstepRecording
import LockstepTensors

/// The first ranks of all, which measure while the others wait.
final class CollectiveGroup {
  /// Carries what is measured and nothing else.
  let measured: any Communicator
  /// Carries what the measurement itself has to say.
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

  /// The largest of every rank's `value`.
  func maximum(_ value: Double) throws -> Double {
    try control.allGather([value]).map { $0[0] }.max() ?? value
  }
}

/// Waits until every rank has come, asleep most of the time, since blocking calls of MPI libraries keep
/// a core busy that the ranks which still measure may need.
///
/// - Returns: the sum of all ranks' `value`.
func meetAsleep(_ value: Int, over world: any Communicator) throws -> Int {
  let pending = try world.beginSum(Storage([Int64(value)]))
  while try !pending.test() { usleep(1000) }
  return Int(try pending.wait()[0])
}
