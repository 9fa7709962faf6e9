import Foundation
package import LockstepCollectives
import LockstepFiles

/// Where one rank runs; without it, measured times mean nothing.
package struct RankPlace: Codable {
  package let rank: Int
  package let host: String
  /// The logical processors that the rank may use, as the system writes them: "0-3,8".
  package let cores: String
  /// The first logical processor of each core that the rank may use.
  let coreIds: [Int]
  let coreCount: Int
  let onlineCores: Int

  private enum CodingKeys: String, CodingKey {
    case rank, host, cores
    case coreIds = "core_ids"
    case coreCount = "core_count"
    case onlineCores = "online_cores"
  }

  /// This rank's place.
  private init(rank: Int) {
    self.rank = rank
    host = ProcessInfo.processInfo.hostName
    cores = Processors.allowedText
    coreIds = Processors.cores(Processors.numbers(cores))
    coreCount = coreIds.count
    onlineCores = ProcessInfo.processInfo.processorCount
  }

  /// Every rank's place.
  ///
  /// Collective.
  package static func gather(over communicator: any Communicator) throws -> [RankPlace] {
    let texts = try communicator.allGather(
      try jsonDocument(RankPlace(rank: communicator.rank)))
    return try texts.map { try JSONDecoder().decode(RankPlace.self, from: Data($0.utf8)) }
  }

  /// The hosts on which ranks share cores.
  package static func crowdedHosts(_ places: [RankPlace]) -> [String] {
    Dictionary(grouping: places, by: \.host).filter { _, ranks in oversubscribes(ranks) }.keys
      .sorted()
  }

  /// Whatever makes times measured in these places meaningless or less certain.
  package static func notes(_ places: [RankPlace]) -> [String] {
    let crowded = crowdedHosts(places)
    guard crowded.isEmpty else {
      return [
        "ranks share cores on \(crowded.joined(separator: ", ")): they wait for each other's time "
          + "slices, so measured times mean nothing"
      ]
    }
    guard let unbound = places.first(where: { $0.coreCount > 1 && places.count > 1 }) else {
      return []
    }
    return [
      "rank \(unbound.rank) may run on \(unbound.coreCount) cores: bind ranks to cores "
        + "(`Launch/run`, or `mpirun --bind-to core`) before measuring"
    ]
  }

  /// The place in words.
  package var text: String { "rank \(rank) on \(host), core(s) \(cores) of \(onlineCores)" }

  /// Whether ranks of one host have to share cores.
  private static func oversubscribes(_ ranks: [RankPlace]) -> Bool {
    let cores = Set(ranks.flatMap(\.coreIds))
    let pinned = ranks.filter { $0.coreCount == 1 }.map(\.coreIds)
    return ranks.count > cores.count || Set(pinned).count < pinned.count
  }
}
