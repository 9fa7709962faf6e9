import LockstepTensors

/// The order in which variants take their turns, the same on all ranks.
///
/// It is drawn anew for each round, so that no variant always follows the same other one.
public struct Interleaving: Sendable {
  private let variants: Int
  private let seed: UInt64

  /// How many steps a variant takes in a turn.
  ///
  /// The first step is not counted, because its memory is cold. A turn is short, so that a slow minute of
  /// the machine affects all variants alike. With turns of 6 steps, a comparison of the digits demo has 24
  /// rounds and decides half of its ratios. With 4 it has 36 rounds and decides two thirds.
  public static let turn = 4

  /// The order of `variants` variants.
  public init(variants: Int, seed: UInt64) { (self.variants, self.seed) = (variants, seed) }

  /// The indices of the variants in the order of their turns in a round.
  public func order(of round: Int) -> [Int] {
    var random = RandomStream(seed: seed, site: .interleaving, step: round)
    return (0..<variants).shuffled(using: &random)
  }

  /// How many rounds it takes to count `steps` steps of each variant.
  public static func rounds(counting steps: Int) -> Int { (steps + turn - 2) / (turn - 1) }
}
