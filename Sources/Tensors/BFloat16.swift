/// A number of 16 bits: the upper half of a float32, with its range and 8 bits of precision.
///
/// Its members are always inlined: a copy of them, compiled for one instruction set, could otherwise
/// stand in for all.
@frozen public struct BFloat16: BitwiseCopyable, Hashable, Sendable {
  /// Sign, exponent and the upper 7 bits of the significand, as in a float32.
  public var bitPattern: UInt16

  /// The number with these bits.
  @_alwaysEmitIntoClient @_transparent
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// The nearest number to `value`, of two equally near the even one; NaN stays NaN.
  @_alwaysEmitIntoClient @_transparent
  public init(_ value: Float) {
    let bits = value.bitPattern
    let rounded = (bits &+ 0x7fff &+ ((bits &>> 16) & 1)) &>> 16
    bitPattern = UInt16(truncatingIfNeeded: value == value ? rounded : (bits &>> 16) | 0x40)
  }

  /// The same number as a float32, exactly.
  @_alwaysEmitIntoClient @_transparent
  public var float: Float { Float(bitPattern: UInt32(bitPattern) &<< 16) }
}

extension BFloat16: AdditiveArithmetic {
  /// 0.
  public static var zero: BFloat16 { BFloat16(bitPattern: 0) }

  /// The sum in float32, rounded.
  @_alwaysEmitIntoClient @_transparent
  public static func + (a: BFloat16, b: BFloat16) -> BFloat16 { BFloat16(a.float + b.float) }

  /// The difference in float32, rounded.
  @_alwaysEmitIntoClient @_transparent
  public static func - (a: BFloat16, b: BFloat16) -> BFloat16 { BFloat16(a.float - b.float) }
}

/// In what numbers activations and their gradients are stored.
public enum Precision: String, CaseIterable, Hashable, Sendable {
  /// 32 bits.
  case float32
  /// 16 bits: half the memory, with float32's range and 8 bits of precision.
  case bfloat16
}
