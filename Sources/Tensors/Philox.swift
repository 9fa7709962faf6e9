import Glibc

/// Philox-4×32-10, a counter-based random function: the same key and counter give the same
/// four words in any order, on any rank.
///
/// Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
public struct Philox: Sendable {
  private let key: SIMD2<UInt32>

  /// A function keyed by `seed`.
  public init(seed: UInt64) {
    key = [UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)]
  }

  /// The four words at `counter`.
  public func callAsFunction(_ counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
    var c = counter
    var k = key
    for _ in 0..<10 {
      let p0 = c[0].multipliedFullWidth(by: 0xD251_1F53)
      let p1 = c[2].multipliedFullWidth(by: 0xCD9E_8D57)
      c = [p1.high ^ c[1] ^ k[0], p1.low, p0.high ^ c[3] ^ k[1], p0.low]
      k = k &+ [0x9E37_79B9, 0xBB67_AE85]
    }
    return c
  }
}

/// Where in a run a random number is drawn: two sites never share one.
public enum RandomSite: UInt32, Sendable {
  /// The initial value of parameters; `slot` is the parameter's index.
  case initialization = 1
  /// The order of samples; `step` is the epoch.
  case permutation = 2
  /// Crops and flips; `slot` is the sample's slot in the global batch.
  case augmentation = 3
  /// Generated data; `slot` is the sample's index.
  case synthetic = 4
  /// Dropped elements; `slot` is the sample's slot in the global batch and `part` the layer.
  case dropout = 5
  /// Tokens drawn from a model; `step` is the position.
  case sampling = 6
  /// Recorded steps drawn for a prediction.
  case simulation = 7
  /// The order of variants in a comparison; `step` is the round.
  case interleaving = 8
}

/// A stream of random numbers keyed by seed, site, step and slot, so that what is drawn for a
/// sample does not depend on which rank holds it.
public struct RandomStream: RandomNumberGenerator, Sendable {
  private let function: Philox
  private let place: SIMD4<UInt32>
  private var element: UInt32 = 0
  private var words: SIMD4<UInt32> = .zero
  private var used = 4

  /// The stream of one place in a run.
  public init(seed: UInt64, site: RandomSite, step: Int = 0, slot: Int = 0, part: Int = 0) {
    function = Philox(seed: seed)
    place = [
      0, UInt32(truncatingIfNeeded: slot), UInt32(truncatingIfNeeded: step),
      site.rawValue | UInt32(truncatingIfNeeded: part) << 8,
    ]
  }

  /// The next 32 random bits.
  public mutating func nextWord() -> UInt32 {
    if used == 4 {
      words = function(place &+ [element, 0, 0, 0])
      element &+= 1
      used = 0
    }
    defer { used += 1 }
    return words[used]
  }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 { UInt64(nextWord()) << 32 | UInt64(nextWord()) }

  /// A number in `0 ..< 1` with 24 random bits.
  public mutating func uniform() -> Float { Float(nextWord() >> 8) * 0x1p-24 }

  /// A number from the standard normal distribution (Box & Muller, 1958).
  public mutating func normal() -> Float {
    let radius = (-2 * log(1 - Double(nextWord() >> 8) * 0x1p-24)).squareRoot()
    return Float(radius * cos(2 * .pi * Double(nextWord() >> 8) * 0x1p-24))
  }

  /// A number in `0 ..< bound`, every one as likely as the next.
  public mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}
