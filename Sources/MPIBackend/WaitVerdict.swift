import LockstepCollectives

/// For whom a collective waits, judged by where the ranks say that they are.
package struct WaitVerdict {
  /// Ranks that have not answered.
  let silent: [Int]
  /// Ranks that have to reach the collective and have not.
  let late: [Int]
  /// Ranks that reached another collective under the same number.
  let different: [Int]
  private let waiting: RankState
  private let states: [Int: RankState]

  /// Judges by `states` the collective that `waiting` waits for, in a job of `ranks` ranks.
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

  /// Whether the collective waits for any rank.
  var hasSomeone: Bool { !silent.isEmpty || !late.isEmpty || !different.isEmpty }

  /// How many ranks are named one by one; the others are only counted.
  private static let mostNamed = 8

  /// Says for whom the others have waited longer than `limit`.
  package func text(after limit: String) -> String {
    var clauses: [String] = []
    if !silent.isEmpty {
      clauses.append(
        "\(CollectiveDifference.ranks(silent)) \(silent.count == 1 ? "does" : "do") not answer: "
          + "stopped, dead or cut off")
    }
    clauses += each(late, "has not reached it")
    clauses += each(different, "has reached another collective instead")
    if clauses.isEmpty {
      clauses = ["all ranks have reached it, but neither the network nor MPI completes it"]
    }
    return "\(waiting.collective) has not completed in \(limit): " + clauses.joined(separator: "; ")
  }

  /// Names the ranks for which the others wait, as a warning without consequences.
  package func warning(after limit: String) -> String {
    let ranks = (silent + late + different).sorted()
    return "\(CollectiveDifference.ranks(ranks)) \(ranks.count == 1 ? "has" : "have") not reached "
      + "\(waiting.collective) after \(limit)"
  }

  private func each(_ ranks: [Int], _ what: String) -> [String] {
    ranks.prefix(Self.mostNamed).map { "rank \($0) \(what) (\(states[$0]?.text ?? ""))" }
      + (ranks.count > Self.mostNamed ? ["and \(ranks.count - Self.mostNamed) more ranks"] : [])
  }
}
