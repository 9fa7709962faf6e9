/// eˣ in every lane, to about two units in the last place, for −87 ≤ x ≤ 88; x outside is
/// clamped.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by a polynomial of degree 6, fitted for the least relative error,
/// below 4·10⁻⁹; 2ⁿ from the exponent bits.
@_alwaysEmitIntoClient @_transparent
public func exponential(_ x: Vector) -> Vector {
  let low = Vector(repeating: -87)
  let high = Vector(repeating: 88)
  let raised = x.replacing(with: low, where: x .< low)
  let clamped = raised.replacing(with: high, where: raised .> high)
  // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
  let magic = Vector(repeating: 0x1.8p23)
  let z = fma(clamped, Vector(repeating: 1.442_695_04), magic)
  let n = z - magic
  var r = fma(n, Vector(repeating: -0x1.62e4p-1), clamped)
  r = fma(n, Vector(repeating: -0x1.7f7d1cp-20), r)
  var p = Vector(repeating: 0x1.6a23dp-10)
  p = fma(p, r, Vector(repeating: 0x1.123a2p-7))
  p = fma(p, r, Vector(repeating: 0x1.5558f2p-5))
  p = fma(p, r, Vector(repeating: 0x1.555492p-3))
  p = fma(p, r, Vector(repeating: 0x1.fffffcp-2))
  p = fma(p, r, Vector(repeating: 1))
  p = fma(p, r, Vector(repeating: 1))
  let bits = unsafeBitCast(z, to: SIMD16<Int32>.self)
  let exponent = (bits &<< 23) &+ SIMD16<Int32>(repeating: 0x3f80_0000)
  return p * unsafeBitCast(exponent, to: Vector.self)
}

/// The `count` elements from `p + i`, the other lanes `filler`: what a loop of vectors leaves.
@_alwaysEmitIntoClient @_transparent
public func loadPartial<E: KernelElement>(_ p: Source<E>, _ i: Int, _ count: Int, _ filler: Float)
  -> Vector
{
  var v = Vector(repeating: filler)
  for lane in 0..<count { v[lane] = p[i + lane].float }
  return v
}

/// Writes the first `count` lanes to `p + i`.
@_alwaysEmitIntoClient @_transparent
public func storePartial<E: KernelElement>(_ v: Vector, _ p: Target<E>, _ i: Int, _ count: Int) {
  for lane in 0..<count { p[i + lane] = E(v[lane]) }
}
