public import LockstepCollectives
public import LockstepNorms
package import LockstepRecording

/// The communicators of one rank, one for each kind of traffic.
///
/// So the orders of different kinds of collectives are independent, and every byte can be attributed.
public final class RankContext {
  /// Everything that is neither statistics nor gradients.
  public let control: any Communicator
  /// Gradient buckets.
  public let gradients: any Communicator
  /// Statistics over all ranks.
  public let statistics: any Communicator
  private var statisticsGroups: [StatisticsGroup: any Communicator] = [:]
  /// The first rank of each rank's group, by kinds of groups other than all ranks.
  private var firstRanks: [StatisticsGroup: [Int]] = [:]
  /// The communicators of ``statisticsGroups`` in the order in which they were asked for.
  private(set) var statisticsCommunicators: [any Communicator] = []
  /// The communicators of groups other than all ranks, each with the first rank of its group.
  private var partialGroups: [(any Communicator, first: Int)] = []
  /// Where collectives and segments are recorded; nil if they are not.
  public private(set) var log: EventLog?
  /// Whether ranks share cores, so that being switched out says nothing about other processes.
  public var sharesCores = false
  /// The first rank of the group of each recorded communicator, in the order of their numbers.
  public private(set) var recordedGroups: [Int] = []

  private var knownClocks: ClockComparison?

  /// Duplicates the communicator of all ranks.
  ///
  /// With `checks`, ranks agree on every collective before they issue it.
  public init(_ world: any Communicator, checks: Bool = false) throws(CommunicationError) {
    let world = checks ? try CheckedCommunicator(world) : world
    control = try world.duplicate()
    gradients = try world.duplicate()
    statistics = try world.duplicate()
    control.meter.name = EventName("control")
    gradients.meter.name = EventName("gradients")
    statistics.meter.name = EventName("statistics")
  }

  /// Whether ranks agree on every collective before they issue it.
  ///
  /// Then all ranks have to issue the collectives of different communicators in the same order, too.
  public var checksCollectives: Bool { control.checks != nil }

  /// What this rank publishes about itself for the watchdog; nil if there is none.
  public var activity: RankActivity? { control.meter.activity }

  /// Records in `log` from now on what goes through all communicators, including those made later.
  public func record(in log: EventLog) {
    self.log = log
    for communicator in [control, gradients, statistics] {
      communicator.meter.record(in: log)
      recordedGroups.append(0)
    }
    if let checks = control.checks {
      checks.record(in: log)
      recordedGroups.append(0)
    }
    for (communicator, first) in partialGroups {
      communicator.meter.record(in: log)
      recordedGroups.append(first)
    }
  }

  /// Compares the clocks of all ranks; made once, since it takes communicators that are never freed.
  ///
  /// Collective the first time.
  package func clocks() throws(CommunicationError) -> ClockComparison {
    if let knownClocks { return knownClocks }
    let made = try ClockComparison(over: control)
    knownClocks = made
    return made
  }

  /// Does the same as ``agreeing(_:)``, where `body` may take one rank long while the others wait.
  ///
  /// Collective. All ranks throw the same `AgreedError`, or none does.
  public func agreeingAtLength<Result>(_ body: () throws -> Result) throws -> Result {
    try waitingForOthers { try LockstepDataParallel.agreeing(over: control, body) }
  }

  /// Runs `body` on every rank, and throws on all of them if it throws on any, so that none goes on alone.
  ///
  /// Collective; `body` must not communicate. All ranks throw the same `AgreedError`, or none does.
  public func agreeing<Result>(_ body: () throws -> Result) throws -> Result {
    try agreeingAtLength(body)
  }

  /// Runs `body`, in which ranks may wait long for what another rank does alone.
  public func waitingForOthers<Result>(_ body: () throws -> Result) rethrows -> Result {
    guard let activity else { return try body() }
    return try activity.exempting(body)
  }

  /// This process's index.
  public var rank: Int { control.rank }
  /// The number of processes.
  public var size: Int { control.size }

  /// The ranks that share statistics under `group`.
  ///
  /// Collective the first time a group is asked for. The size of a group of ranks has to divide ``size``.
  public func scope(of group: StatisticsGroup) throws(CommunicationError) -> StatisticsScope {
    let communicator: any Communicator
    if let known = statisticsGroups[group] {
      communicator = known
    } else {
      switch group {
      case .all: communicator = statistics
      case .node: communicator = try statistics.splitByNode()
      case .ranks(let count):
        communicator = try statistics.split(color: rank / count, key: rank)
      }
      statisticsGroups[group] = communicator
      statisticsCommunicators.append(communicator)
      communicator.meter.name = EventName("statistics")
      if group != .all {
        let first = Int(try communicator.allGather([Int64(rank)])[0][0])
        partialGroups.append((communicator, first))
        firstRanks[group] = try control.allGather([Int64(first)]).map { Int($0[0]) }
        if let log {
          communicator.meter.record(in: log)
          recordedGroups.append(first)
        }
      }
    }
    let coversAllRanks = communicator.size == size
    return StatisticsScope(
      communicator, coversAllRanks: coversAllRanks,
      firstRanks: coversAllRanks ? [] : firstRanks[group] ?? [])
  }

  /// All traffic that is neither statistics nor gradients, including that of checks.
  public var controlTraffic: Traffic {
    var meters: [TrafficMeter] = []
    for checks in ([control] + statisticsCommunicators).compactMap(\.checks)
    where !meters.contains(where: { $0 === checks }) {
      meters.append(checks)
    }
    return meters.reduce(control.traffic) { $0 + $1.traffic }
  }

  /// All traffic of statistics, over all groups.
  public var statisticsTraffic: Traffic {
    statisticsGroups.values.reduce(Traffic()) { $0 + $1.traffic }
  }
}
