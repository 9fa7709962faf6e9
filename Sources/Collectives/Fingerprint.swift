/// A running hash of the collectives that one rank issued on one communicator.
///
/// Two ranks that issued the same collectives in the same order have the same fingerprint. It serves to
/// find ranks that diverge, not for security.
public struct Fingerprint: Hashable, BitwiseCopyable, Sendable {
  /// The hash.
  public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  /// The fingerprint before the first collective.
  public init() {}

  /// Adds the collective with this number.
  public mutating func add(_ collective: CollectiveSignature, number: Int) {
    value = Self.mixed(value, collective.code ^ UInt64(truncatingIfNeeded: number) << 48)
    value = Self.mixed(value, UInt64(bitPattern: Int64(collective.agreedElements)))
    value = Self.mixed(value, collective.purpose.stableHash)
  }

  /// Adds the fingerprint of another communicator.
  public mutating func add(_ other: Fingerprint) { value = Self.mixed(value, other.value) }

  /// Mixes two words into one by folding their product, so that every input bit affects all output bits.
  static func mixed(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = (a ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: b ^ 0xd6e8_feb8_6659_fd93)
    return (product.high ^ product.low) &+ a
  }

  /// A hash of a text, the same on all ranks (FNV-1a).
  static func hash(of text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}

/// Compares the ranks' fingerprints within a sum that they compute anyway.
///
/// A rank cuts its fingerprint into digits d of 16 bits, and adds d and d² for each. With P ranks,
/// P · Σd² = (Σd)² holds only if all d are equal (Cauchy and Schwarz). The sums are whole numbers, which
/// float64 holds exactly for up to 2²⁰ ranks.
public enum FingerprintDigits {
  /// How many numbers a rank adds.
  public static let width = 8

  /// The numbers that a rank with this fingerprint adds.
  public static func addends(of fingerprint: Fingerprint) -> [Double] {
    (0..<width / 2).flatMap { place in
      let digit = Double(fingerprint.value >> UInt64(16 * place) & 0xffff)
      return [digit, digit * digit]
    }
  }

  /// Whether all `ranks` ranks had the same fingerprint, judged by the sums of their addends.
  ///
  /// If the summing collective itself did not match between ranks, it may return numbers that are not such
  /// sums. They count as disagreement.
  public static func agree(_ sums: some Collection<Double>, ranks: Int) -> Bool {
    let sums = sums.compactMap { UInt64(exactly: $0) }.map { UInt128($0) }
    guard sums.count == width else { return false }
    return stride(from: 0, to: width, by: 2).allSatisfy { place in
      UInt128(ranks) * sums[place + 1] == sums[place] * sums[place]
    }
  }
}
