import Foundation
import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import LockstepMachine
import Logging

extension Session {
  /// For how long the machine is looked at before something is measured, in seconds.
  private static let look = 0.3

  /// Looks at every rank's machine for a moment, and says what else runs there and what of the ranks' places
  /// makes times mean less; for a command that measures.
  ///
  /// Collective.
  @discardableResult
  func lookAtMachines() throws -> [RankPlace] {
    let places = try notePlaces()
    for note in RankPlace.notes(places) { log.warning("\(note)") }
    for load in try machineLoads() {
      if let text = load.text { log.warning("\(text); what they disturb says little") }
    }
    return places
  }

  /// Every rank's place; from now on the context knows whether ranks share cores.
  ///
  /// Collective.
  @discardableResult
  func notePlaces() throws -> [RankPlace] {
    let places = try RankPlace.gather(self)
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

  /// What else runs on each host on which ranks are, in the order of their first ranks.
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
