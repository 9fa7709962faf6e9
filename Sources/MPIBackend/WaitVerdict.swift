import LockstepCollectives

/// Who a collective waits for, from where the ranks say that they are.
package struct WaitVerdict {
  /// Ranks of which nothing was heard.
  let silent: [Int]
  /// Ranks that have to come to the collective and have not.
  let late: [Int]
  /// Ranks that came to something else under the same number.
  let different: [Int]
  private let waiting: RankState
  private let states: [Int: RankState]

  /// What `states` say about what `waiting` waits for, in a job of a given number of ranks.
  package init(_ waiting: RankState, states: [Int: RankState], ranks: Int) {
    self.waiting = waiting
    self.states = states
    silent = (0..<ranks).filter { states[$0] == nil }
    guard let meeting = waiting.meeting else {
      (late, different) = ([], [])
      return
    }
    let members = waiting.members.flatMap { $0.map(Int.init) }
    late = members.filter { states[$0].map { !$0.hasCome(to: meeting) } ?? false }
    different = members.filter {
      states[$0].map { $0.meeting == meeting && $0.signature != waiting.signature } ?? false
    }
  }

  /// Whether anybody is waited for.
  var hasSomeone: Bool { !silent.isEmpty || !late.isEmpty || !different.isEmpty }

  /// Ranks named one by one before the others are only counted.
  private static let mostNamed = 8

  /// Says who it is that others have waited for so long.
  package func text(after limit: String) -> String {
    var clauses: [String] = []
    if !silent.isEmpty {
      clauses.append(
        "\(CollectiveDifference.ranks(silent)) \(silent.count == 1 ? "does" : "do") not answer: "
          + "stopped, dead or cut off")
    }
    clauses += each(late, "has not come to it")
    clauses += each(different, "has come to another collective instead")
    if clauses.isEmpty {
      clauses = ["all ranks have come to it, and neither the network nor MPI completes it"]
    }
    return "\(waiting.collective) has not completed in \(limit): " + clauses.joined(separator: "; ")
  }

  /// Names who has not come, where nothing else is to happen.
  package func warning(after limit: String) -> String {
    let ranks = (silent + late + different).sorted()
    return "\(CollectiveDifference.ranks(ranks)) \(ranks.count == 1 ? "has" : "have") not come to "
      + "\(waiting.collective) for \(limit)"
  }

  private func each(_ ranks: [Int], _ what: String) -> [String] {
    ranks.prefix(Self.mostNamed).map { "rank \($0) \(what) (\(states[$0]?.text ?? ""))" }
      + (ranks.count > Self.mostNamed ? ["and so \(ranks.count - Self.mostNamed) ranks more"] : [])
  }
}
