public import CPrefetch

/// Sixteen floats: one register of AVX-512, two of AVX2, four of NEON.
public typealias Vector = SIMD16<Float>
/// Eight doubles, one half of a ``Vector`` widened.
public typealias WideVector = SIMD8<Double>

/// Floats to read.
public typealias Input = UnsafePointer<Float>
/// Floats to write.
public typealias Output = UnsafeMutablePointer<Float>
/// Float64 sums, which are added to.
public typealias Sums = UnsafeMutablePointer<Double>

// Everything here is inlined into the module of each instruction set. An out-of-line copy
// would be merged by the linker across those modules, and could run where it must not.

/// Sixteen floats from `p + i`, at any alignment.
@_alwaysEmitIntoClient @_transparent
public func load(_ p: Input, _ i: Int) -> Vector {
  UnsafeRawPointer(p + i).loadUnaligned(as: Vector.self)
}

/// Sixteen floats from `p + i`, at any alignment.
@_alwaysEmitIntoClient @_transparent
public func load(_ p: Output, _ i: Int) -> Vector {
  UnsafeRawPointer(p + i).loadUnaligned(as: Vector.self)
}

/// Writes sixteen floats to `p + i`, at any alignment.
@_alwaysEmitIntoClient @_transparent
public func store(_ v: Vector, _ p: Output, _ i: Int) {
  UnsafeMutableRawPointer(p + i).storeBytes(of: v, as: Vector.self)
}

/// How far ahead of a loop its memory is asked for, in floats: some 30 cache lines, which is what
/// one core keeps in flight.
@_alwaysEmitIntoClient @_transparent
public var prefetchDistance: Int { 512 }

/// Asks for the cache line that the loop reads `prefetchDistance` later; it may lie past the end.
@_alwaysEmitIntoClient @_transparent
public func prefetchRead(_ p: Input, _ i: Int) { prefetch_to_read(p + (i + prefetchDistance)) }

/// Asks for the cache line that the loop writes `prefetchDistance` later, so that a store to a line
/// that is in no cache need not wait for it; it may lie past the end.
@_alwaysEmitIntoClient @_transparent
public func prefetchWrite(_ p: Output, _ i: Int) { prefetch_to_write(p + (i + prefetchDistance)) }

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

  @_alwaysEmitIntoClient @_transparent
  init(low: WideVector, high: WideVector) {
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

  /// Writes the sums to `p + i`.
  @_alwaysEmitIntoClient @_transparent
  public func store(_ p: Sums, _ i: Int) {
    storeWide(low, p, i)
    storeWide(high, p, i + 8)
  }
}

/// The sums of neighbouring lanes, a's eight, then b's.
@_alwaysEmitIntoClient @_transparent
public func pairSums(_ a: Vector, _ b: Vector) -> Vector {
  Vector(lowHalf: a.evenHalf, highHalf: b.evenHalf)
    + Vector(lowHalf: a.oddHalf, highHalf: b.oddHalf)
}

/// The sum of the lanes of each of sixteen vectors, which lie one after the other.
@_alwaysEmitIntoClient @_transparent
public func sixteenLaneSums(_ p: Output) -> Vector {
  pairSums(
    pairSums(
      pairSums(pairSums(load(p, 0), load(p, 16)), pairSums(load(p, 32), load(p, 48))),
      pairSums(pairSums(load(p, 64), load(p, 80)), pairSums(load(p, 96), load(p, 112)))),
    pairSums(
      pairSums(pairSums(load(p, 128), load(p, 144)), pairSums(load(p, 160), load(p, 176))),
      pairSums(pairSums(load(p, 192), load(p, 208)), pairSums(load(p, 224), load(p, 240)))))
}
