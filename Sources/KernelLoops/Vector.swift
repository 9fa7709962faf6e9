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

/// Rows to take at a time so that a block of `[rows, channels]` stays in the nearest cache.
@_alwaysEmitIntoClient @_transparent
public func rowBlock(_ channels: Int) -> Int { max(4, 4096 / max(channels, 1)) }
