public import CIntrinsics
public import LockstepTensors

/// Sixteen floats: one register of AVX-512, two of AVX2, four of NEON.
public typealias Vector = SIMD16<Float>
/// Eight doubles, one half of a ``Vector`` widened.
public typealias WideVector = SIMD8<Double>

/// Floats to read.
public typealias Input = UnsafePointer<Float>
/// Floats to write.
public typealias Output = UnsafeMutablePointer<Float>
/// Activations of one precision to read.
public typealias Source<E: KernelElement> = UnsafePointer<E>
/// Activations of one precision to write.
public typealias Target<E: KernelElement> = UnsafeMutablePointer<E>
/// Float64 sums, which are added to.
public typealias Sums = UnsafeMutablePointer<Double>

// Everything here is inlined into the module of each instruction set. An out-of-line copy
// would be merged by the linker across those modules, and could run where it must not.

/// A number that activations are stored as.
///
/// Loops load sixteen as float32, compute, and round once when they store.
public protocol KernelElement: BitwiseCopyable, Sendable {
  /// The number as a float32, exactly.
  var float: Float { get }
  /// The nearest number to `value`.
  init(_ value: Float)
  /// Sixteen from `p`, at any alignment.
  static func loadVector(_ p: UnsafePointer<Self>) -> Vector
  /// Writes sixteen to `p`, at any alignment.
  static func storeVector(_ v: Vector, _ p: UnsafeMutablePointer<Self>)
}

extension Float: KernelElement {
  /// Itself.
  @_alwaysEmitIntoClient @_transparent
  public var float: Float { self }

  /// Sixteen from `p`, at any alignment.
  @_alwaysEmitIntoClient @_transparent
  public static func loadVector(_ p: UnsafePointer<Float>) -> Vector {
    UnsafeRawPointer(p).loadUnaligned(as: Vector.self)
  }

  /// Writes sixteen to `p`, at any alignment.
  @_alwaysEmitIntoClient @_transparent
  public static func storeVector(_ v: Vector, _ p: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(p).storeBytes(of: v, as: Vector.self)
  }
}

extension BFloat16: KernelElement {
  /// Sixteen from `p`, at any alignment.
  @_alwaysEmitIntoClient @_transparent
  public static func loadVector(_ p: UnsafePointer<BFloat16>) -> Vector {
    let bits = UnsafeRawPointer(p).loadUnaligned(as: SIMD16<UInt16>.self)
    return unsafeBitCast(widened(bits) &<< 16, to: Vector.self)
  }

  /// Writes sixteen to `p`, at any alignment.
  @_alwaysEmitIntoClient @_transparent
  public static func storeVector(_ v: Vector, _ p: UnsafeMutablePointer<BFloat16>) {
    UnsafeMutableRawPointer(p).storeBytes(of: nearest_bfloat16(v), as: SIMD16<UInt16>.self)
  }
}

// Lane by lane: the standard library's conversions of whole vectors are calls.

/// Sixteen 16-bit numbers in 32 bits each.
@_alwaysEmitIntoClient @_transparent
func widened(_ v: SIMD16<UInt16>) -> SIMD16<UInt32> {
  SIMD16<UInt32>(
    UInt32(v[0]), UInt32(v[1]), UInt32(v[2]), UInt32(v[3]), UInt32(v[4]), UInt32(v[5]),
    UInt32(v[6]), UInt32(v[7]), UInt32(v[8]), UInt32(v[9]), UInt32(v[10]), UInt32(v[11]),
    UInt32(v[12]), UInt32(v[13]), UInt32(v[14]), UInt32(v[15]))
}

/// Sixteen numbers from `p + i`, at any alignment.
@_alwaysEmitIntoClient @_transparent
public func load<E: KernelElement>(_ p: Source<E>, _ i: Int) -> Vector { E.loadVector(p + i) }

/// Sixteen numbers from `p + i`, at any alignment.
@_alwaysEmitIntoClient @_transparent
public func load<E: KernelElement>(_ p: Target<E>, _ i: Int) -> Vector {
  E.loadVector(UnsafePointer(p + i))
}

/// Writes sixteen numbers to `p + i`, at any alignment.
@_alwaysEmitIntoClient @_transparent
public func store<E: KernelElement>(_ v: Vector, _ p: Target<E>, _ i: Int) {
  E.storeVector(v, p + i)
}

/// How far ahead of a loop its memory is asked for, in numbers: some 30 cache lines of floats, which is
/// what one core keeps in flight.
@_alwaysEmitIntoClient @_transparent
public var prefetchDistance: Int { 512 }

/// Asks for the cache line that the loop reads `prefetchDistance` later; it may lie past the end.
@_alwaysEmitIntoClient @_transparent
public func prefetchRead<E: KernelElement>(_ p: Source<E>, _ i: Int) {
  prefetch_to_read(p + (i + prefetchDistance))
}

/// Asks for the cache line that the loop writes `prefetchDistance` later, so that a store to a line
/// that is in no cache need not wait for it; it may lie past the end.
@_alwaysEmitIntoClient @_transparent
public func prefetchWrite<E: KernelElement>(_ p: Target<E>, _ i: Int) {
  prefetch_to_write(p + (i + prefetchDistance))
}

/// Eight doubles from `p + i`.
@_alwaysEmitIntoClient @_transparent
public func loadWide(_ p: Sums, _ i: Int) -> WideVector {
  UnsafeRawPointer(p + i).loadUnaligned(as: WideVector.self)
}

/// Writes eight doubles to `p + i`.
@_alwaysEmitIntoClient @_transparent
public func storeWide(_ v: WideVector, _ p: Sums, _ i: Int) {
  UnsafeMutableRawPointer(p + i).storeBytes(of: v, as: WideVector.self)
}

/// Eight floats as doubles, exactly.
@_alwaysEmitIntoClient @_transparent
public func widen(_ v: SIMD8<Float>) -> WideVector {
  WideVector(
    Double(v[0]), Double(v[1]), Double(v[2]), Double(v[3]),
    Double(v[4]), Double(v[5]), Double(v[6]), Double(v[7]))
}

/// The sum of the sixteen lanes, as a tree.
@_alwaysEmitIntoClient @_transparent
public func laneSum(_ v: Vector) -> Float {
  let eight = v.lowHalf + v.highHalf
  let four = eight.lowHalf + eight.highHalf
  let two = four.lowHalf + four.highHalf
  return two[0] + two[1]
}

/// `a·b + c` with one rounding.
@_alwaysEmitIntoClient @_transparent
public func fma(_ a: Vector, _ b: Vector, _ c: Vector) -> Vector { c.addingProduct(a, b) }

/// max(v, 0) in every lane, NaN where v is.
@_alwaysEmitIntoClient @_transparent
public func rectified(_ v: Vector) -> Vector {
  v.replacing(with: Vector.zero, where: v .< Vector.zero)
}

/// `dy` in the lanes where the rectified y is above 0, else 0.
@_alwaysEmitIntoClient @_transparent
public func masked(_ dy: Vector, by y: Vector) -> Vector {
  Vector.zero.replacing(with: dy, where: y .> Vector.zero)
}

/// The larger of each pair of lanes.
@_alwaysEmitIntoClient @_transparent
public func larger(_ a: Vector, _ b: Vector) -> Vector { a.replacing(with: b, where: b .> a) }

/// The number of elements of `count` that whole vectors cover.
@_alwaysEmitIntoClient @_transparent
public func vectorized(_ count: Int) -> Int { count & ~15 }

/// Rows to take at a time where columns are summed a few at a time: enough to make loading the
/// sums cheap, few enough that the block stays in the second cache for the next columns.
@_alwaysEmitIntoClient @_transparent
public func rowBlock(_ channels: Int) -> Int { max(8, 8_192 / max(channels, 1)) }

/// Sixteen float64 sums.
public struct WideSums {
  @usableFromInline var low: WideVector
  @usableFromInline var high: WideVector

  /// The sums at `p + i`.
  @_alwaysEmitIntoClient @_transparent
  public init(_ p: Sums, _ i: Int) {
    low = loadWide(p, i)
    high = loadWide(p, i + 8)
  }

  /// Sixteen floats, widened.
  @_alwaysEmitIntoClient @_transparent
  public init(_ v: Vector) {
    low = widen(v.lowHalf)
    high = widen(v.highHalf)
  }

  /// Two times eight sums.
  @_alwaysEmitIntoClient @_transparent
  public init(low: WideVector, high: WideVector) {
    self.low = low
    self.high = high
  }

  /// Adds sixteen numbers.
  @_alwaysEmitIntoClient @_transparent
  public mutating func add(_ v: WideSums) {
    low += v.low
    high += v.high
  }

  /// Adds sixteen products.
  @_alwaysEmitIntoClient @_transparent
  public mutating func add(_ a: WideSums, times b: WideSums) {
    low.addProduct(a.low, b.low)
    high.addProduct(a.high, b.high)
  }

  /// Sixteen differences.
  @_alwaysEmitIntoClient @_transparent
  public static func - (a: WideSums, b: WideSums) -> WideSums {
    WideSums(low: a.low - b.low, high: a.high - b.high)
  }

  /// Sixteen products with one number.
  @_alwaysEmitIntoClient @_transparent
  public func scaled(by factor: Double) -> WideSums {
    WideSums(low: low * factor, high: high * factor)
  }

  /// The sum of the sixteen, as a tree.
  @_alwaysEmitIntoClient @_transparent
  public var total: Double {
    let eight = low + high
    let four = eight.lowHalf + eight.highHalf
    return (four[0] + four[2]) + (four[1] + four[3])
  }

  /// The sixteen, rounded to floats.
  @_alwaysEmitIntoClient @_transparent
  public var narrowed: Vector {
    Vector(
      Float(low[0]), Float(low[1]), Float(low[2]), Float(low[3]), Float(low[4]), Float(low[5]),
      Float(low[6]), Float(low[7]), Float(high[0]), Float(high[1]), Float(high[2]),
      Float(high[3]), Float(high[4]), Float(high[5]), Float(high[6]), Float(high[7]))
  }

  /// Writes the sums to `p + i`.
  @_alwaysEmitIntoClient @_transparent
  public func store(_ p: Sums, _ i: Int) {
    storeWide(low, p, i)
    storeWide(high, p, i + 8)
  }
}

/// The sum of the lanes of each of four vectors, which lie one after the other, by quarters of the lanes.
@_alwaysEmitIntoClient @_transparent
public func fourLaneSums(_ p: Output) -> Vector {
  pair_sums(pair_sums(load(p, 0), load(p, 16)), pair_sums(load(p, 32), load(p, 48)))
}

/// The sum of the lanes of each of sixteen vectors, which lie one after the other.
@_alwaysEmitIntoClient @_transparent
public func sixteenLaneSums(_ p: Output) -> Vector {
  quarter_sums(
    quarter_sums(fourLaneSums(p), fourLaneSums(p + 64)),
    quarter_sums(fourLaneSums(p + 128), fourLaneSums(p + 192)))
}

// f is called in one place: a closure that is called in two is not inlined.

/// y = f(x), sixteen numbers at a time.
@_alwaysEmitIntoClient @_transparent
public func mapLoop<A: KernelElement, E: KernelElement>(
  _ x: Source<A>, _ count: Int, _ y: Target<E>, _ f: (Vector) -> Vector
) {
  var i = 0
  while i < count {
    let n = count - i
    let r = f(n >= 16 ? load(x, i) : loadPartial(x, i, n, 0))
    if n >= 16 { store(r, y, i) } else { storePartial(r, y, i, n) }
    i += 16
  }
}

/// y = f(a, b), sixteen numbers at a time.
@_alwaysEmitIntoClient @_transparent
public func mapLoop<A: KernelElement, B: KernelElement, E: KernelElement>(
  _ a: Source<A>, _ b: Source<B>, _ count: Int, _ y: Target<E>,
  _ f: (Vector, Vector) -> Vector
) {
  var i = 0
  while i < count {
    let n = count - i
    let r = f(
      n >= 16 ? load(a, i) : loadPartial(a, i, n, 0),
      n >= 16 ? load(b, i) : loadPartial(b, i, n, 0))
    if n >= 16 { store(r, y, i) } else { storePartial(r, y, i, n) }
    i += 16
  }
}
