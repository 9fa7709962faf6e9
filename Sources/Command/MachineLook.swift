import Foundation
import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import LockstepMachine
import Logging

extension Session {
  /// How long a command looks at the machine before it measures, in seconds.
  private static let look = 0.3

  /// Warns of everything on the ranks' machines that makes measured times mean less.
  ///
  /// That is what else runs there, and how ranks are placed on cores. For commands that measure. Collective.
  @discardableResult
  func lookAtMachines() throws -> [RankPlace] {
    let places = try notePlaces()
    for note in RankPlace.notes(places) { log.warning("\(note)") }
    for load in try machineLoads() {
      if let text = load.text {
        log.warning("\(text); steps that they disturb are left out of the figures")
      }
    }
    return places
  }

  /// Finds every rank's place, and tells the context whether ranks share cores.
  ///
  /// Collective.
  @discardableResult
  func notePlaces() throws -> [RankPlace] {
    let places = try RankPlace.gather(over: context.control)
    context.sharesCores = !RankPlace.crowdedHosts(places).isEmpty
    return places
  }

  /// How steadily every rank's processor works, all watched at once.
  ///
  /// Collective.
  func steadiness(seconds: Double) throws -> [MachineSteadiness] {
    try context.control.barrier()
    let own = MachineSteadiness(
      seconds: seconds, name: ProcessInfo.processInfo.hostName)
    return try context.control.allGather(try jsonDocument(own)).map {
      try JSONDecoder().decode(MachineSteadiness.self, from: Data($0.utf8))
    }
  }

  /// What else runs on each host that has ranks, in the order of the hosts' first ranks.
  ///
  /// Collective.
  func machineLoads() throws -> [MachineLoad] {
    let own = try context.control.allGather([
      Int64(ProcessInfo.processInfo.processIdentifier), Int64(getppid()),
    ])
    // All sleep at once, and none is in MPI meanwhile.
    try context.control.barrier()
    let load = MachineLoad(
      seconds: Self.look, excluding: Set(own.joined().map { Int($0) }))
    let texts = try context.control.allGather(try jsonDocument(load))
    var known: Set<String> = []
    return try texts.map { try JSONDecoder().decode(MachineLoad.self, from: Data($0.utf8)) }
      .filter { known.insert($0.host).inserted }
  }
}
