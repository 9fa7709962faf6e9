import Glibc
public import LockstepVectors

// The Gaussian error linear unit, with Φ the normal distribution function:
//
//     y = x · Φ(x),   Φ(x) = erfc(−x/√2) / 2
//
// Source: Hendrycks & Gimpel, 2016, <https://arxiv.org/abs/1606.08415>, the exact form.

/// The plain form that the vector form is held to.
public func geluReference<E: KernelElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
  for i in 0..<count {
    let v = Double(x[i].float)
    y[i] = E(Float(v * 0.5 * erfc(-v * 0.5.squareRoot())))
  }
}

/// dx = dy · (Φ(x) + x · φ(x)).
public func geluGradientReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  for i in 0..<count {
    let v = Double(x[i].float)
    let density = exp(-0.5 * v * v) / (2 * Double.pi).squareRoot()
    dx[i] = E(Float(Double(dy[i].float) * (0.5 * erfc(-v * 0.5.squareRoot()) + v * density)))
  }
}

/// Φ in every lane, to about 10⁻⁷: the Chebyshev fit of erfc in t = 1 / (1 + |z|/2) from
/// Press et al., "Numerical Recipes", 2nd edition, section 6.2.
@_alwaysEmitIntoClient @_transparent
public func normalDistribution(_ x: Vector) -> Vector {
  let z = x.replacing(with: -x, where: x .< Vector.zero) * Vector(repeating: 0.707_106_77)
  let t = Vector(repeating: 1) / fma(Vector(repeating: 0.5), z, Vector(repeating: 1))
  var p = Vector(repeating: 0.170_872_77)
  p = fma(p, t, Vector(repeating: -0.822_152_23))
  p = fma(p, t, Vector(repeating: 1.488_515_87))
  p = fma(p, t, Vector(repeating: -1.135_203_98))
  p = fma(p, t, Vector(repeating: 0.278_868_07))
  p = fma(p, t, Vector(repeating: -0.186_288_06))
  p = fma(p, t, Vector(repeating: 0.096_784_18))
  p = fma(p, t, Vector(repeating: 0.374_091_96))
  p = fma(p, t, Vector(repeating: 1.000_023_68))
  p = fma(p, t, Vector(repeating: -1.265_512_23))
  let tail = Vector(repeating: 0.5) * t * exponential(fma(-z, z, p))
  return tail.replacing(with: Vector(repeating: 1) - tail, where: x .> Vector.zero)
}

/// The vector form of ``geluReference``.
@_alwaysEmitIntoClient @inline(__always)
public func geluLoop<E: KernelElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
  mapLoop(x, count, y) { $0 * normalDistribution($0) }
}

/// The vector form of ``geluGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func geluGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  mapLoop(x, dy, count, dx) { v, g in
    let density = exponential(v * v * Vector(repeating: -0.5)) * Vector(repeating: 0.398_942_28)
    return g * fma(v, density, normalDistribution(v))
  }
}
