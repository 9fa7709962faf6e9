/// What ranks came to, where it is not the same.
public enum CollectiveDifference {
  /// Says who came to what: the ranks that differ from most of the others first.
  ///
  /// Where no side has more ranks, that of rank 0 is the one that others differ from.
  ///
  /// - Parameters:
  ///   - collectives: What each rank came to, not all the same.
  ///   - ranks: The ranks, in the same order, the lowest first.
  /// - Returns: the ranks and their collectives in words.
  public static func text(_ collectives: [String], of ranks: [Int]) -> String {
    var sides: [(collective: String, ranks: [Int])] = []
    for (rank, collective) in zip(ranks, collectives) {
      if let side = sides.firstIndex(where: { $0.collective == collective }) {
        sides[side].ranks.append(rank)
      } else {
        sides.append((collective, [rank]))
      }
    }
    let most = sides.map(\.ranks.count).max() ?? 0
    guard let usual = sides.first(where: { $0.ranks.count == most }) else { return "" }
    let others = sides.filter { $0.collective != usual.collective }
    return others.map(Self.clause).joined(separator: ", ") + ", where " + Self.clause(usual)
  }

  private static func clause(_ side: (collective: String, ranks: [Int])) -> String {
    "\(ranks(side.ranks)) \(side.ranks.count == 1 ? "comes" : "come") to \(side.collective)"
  }

  /// "rank 1", "ranks 0 and 2", "ranks 0, 2 and 3".
  public static func ranks(_ ranks: [Int]) -> String {
    guard let last = ranks.last, ranks.count > 1 else {
      return ranks.first.map { "rank \($0)" } ?? "no rank"
    }
    return "ranks \(ranks.dropLast().map(String.init).joined(separator: ", ")) and \(last)"
  }
}
