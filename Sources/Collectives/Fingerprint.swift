/// A running hash of the collectives that one rank issued on one communicator.
///
/// It is for finding ranks that part, not for security. Two ranks that issued the same collectives in
/// the same order have the same.
public struct Fingerprint: Hashable, BitwiseCopyable, Sendable {
  /// The hash.
  public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  /// The fingerprint of no collective.
  public init() {}

  /// Adds the collective with this number.
  public mutating func add(_ collective: CollectiveSignature, number: Int) {
    value = Self.mixed(value, collective.code ^ UInt64(truncatingIfNeeded: number) << 48)
    value = Self.mixed(value, UInt64(bitPattern: Int64(collective.agreedElements)))
    value = Self.mixed(value, collective.purpose.stableHash)
  }

  /// Adds the fingerprint of another communicator.
  public mutating func add(_ other: Fingerprint) { value = Self.mixed(value, other.value) }

  /// Both words in one: the halves of their product, so that every bit of either reaches all.
  static func mixed(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = (a ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: b ^ 0xd6e8_feb8_6659_fd93)
    return (product.high ^ product.low) &+ a
  }

  /// A hash of a text, the same on all ranks (FNV-1a).
  static func hash(of text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}

/// How ranks compare a fingerprint within a sum that they take anyway.
///
/// Of every 16 bits d each rank adds d and d². With P ranks, P · Σd² = (Σd)² holds only where all d are
/// equal (Cauchy and Schwarz). The sums are whole numbers that float64 holds exactly for up to 2²⁰ ranks.
public enum FingerprintDigits {
  /// How many numbers a rank adds.
  public static let width = 8

  /// What a rank with this fingerprint adds.
  public static func addends(of fingerprint: Fingerprint) -> [Double] {
    (0..<width / 2).flatMap { place in
      let digit = Double(fingerprint.value >> UInt64(16 * place) & 0xffff)
      return [digit, digit * digit]
    }
  }

  /// Whether all of `ranks` ranks had the same fingerprint, from the sums of what they added.
  ///
  /// Numbers that are no sums of it, from a collective that did not match itself, are no agreement.
  public static func agree(_ sums: some Collection<Double>, ranks: Int) -> Bool {
    let sums = sums.compactMap { UInt64(exactly: $0) }.map { UInt128($0) }
    guard sums.count == width else { return false }
    return stride(from: 0, to: width, by: 2).allSatisfy { place in
      UInt128(ranks) * sums[place + 1] == sums[place] * sums[place]
    }
  }
}
