/// tanh in every lane, to a few units in the last place.
///
/// Near 0 the difference that defines it would lose all digits: a polynomial takes its place.
///
/// - Source: the polynomial is that of tanhf in Moshier's Cephes library, for |x| < 0.625.
@_alwaysEmitIntoClient @_transparent
public func hyperbolicTangent(_ x: Vector) -> Vector {
  let one = Vector(repeating: 1)
  let far = one - Vector(repeating: 2) / (exponential(x + x) + one)
  let z = x * x
  var p = Vector(repeating: -5.704_988_727_45e-3)
  p = fma(p, z, Vector(repeating: 2.063_908_879_54e-2))
  p = fma(p, z, Vector(repeating: -5.373_971_555_31e-2))
  p = fma(p, z, Vector(repeating: 1.333_144_220_36e-1))
  p = fma(p, z, Vector(repeating: -3.333_328_194_22e-1))
  return far.replacing(with: fma(p * z, x, x), where: z .< Vector(repeating: 0.390_625))
}
