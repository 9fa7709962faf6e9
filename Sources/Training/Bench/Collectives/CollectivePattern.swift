import Collectives

/// The numbers that ranks give to a measured collective: whole, small, of another order on each rank, so
/// that a block from the wrong rank or in the wrong place shows.
struct CollectivePattern<Element: Communicable & BinaryFloatingPoint> {
  private let ranks: Int
  private let sums: [Element]

  private static var period: Int { 13 }

  init(ranks: Int) {
    self.ranks = ranks
    sums = (0..<Self.period).map { i in
      (0..<ranks).reduce(0) { $0 + Self.value(i, rank: $1) }
    }
  }

  /// What `rank` gives as element `i`.
  static func value(_ i: Int, rank: Int) -> Element {
    Element((i + 5 * rank) % period + 1)
  }

  /// The sum of what all ranks give as element `i`, which has no rounding error.
  func sum(_ i: Int) -> Element { sums[i % Self.period] }
}
