import LockstepTensors

/// The order in which variants take their turns: drawn anew for each round, so that none always follows
/// the same other one, and the same on all ranks.
public struct Interleaving: Sendable {
  private let variants: Int
  private let seed: UInt64

  /// How many steps a variant takes in a turn.
  ///
  /// The first is not counted, since its memory is cold; they are few
  /// enough that a slow minute of the machine meets all variants alike. With 6 a comparison of the digits demo had
  /// 24 rounds and decided half of its ratios; with 4 it has 36, and decides two thirds.
  public static let turn = 4

  /// The order of `variants` variants.
  public init(variants: Int, seed: UInt64) { (self.variants, self.seed) = (variants, seed) }

  /// The variants' places in the order of a round.
  public func order(of round: Int) -> [Int] {
    var random = RandomStream(seed: seed, site: .interleaving, step: round)
    return (0..<variants).shuffled(using: &random)
  }

  /// How many rounds it takes to count `steps` steps of each variant.
  public static func rounds(counting steps: Int) -> Int { (steps + turn - 2) / (turn - 1) }
}
