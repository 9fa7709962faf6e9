/// Describes how collectives differ between ranks.
public enum CollectiveDifference {
  /// Says which rank reached which collective, beginning with the ranks that differ from the majority.
  ///
  /// If several collectives are equally frequent, the one that the lowest rank reached counts as the
  /// majority's.
  ///
  /// - Parameters:
  ///   - collectives: Each rank's collective in words; they are not all the same.
  ///   - ranks: The ranks in the same order, lowest first.
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
    "\(ranks(side.ranks)) \(side.ranks.count == 1 ? "reaches" : "reach") \(side.collective)"
  }

  /// "rank 1", "ranks 0 and 2", "ranks 0, 2 and 3".
  public static func ranks(_ ranks: [Int]) -> String {
    guard let last = ranks.last, ranks.count > 1 else {
      return ranks.first.map { "rank \($0)" } ?? "no rank"
    }
    return "ranks \(ranks.dropLast().map(String.init).joined(separator: ", ")) and \(last)"
  }
}
