import Glibc
public import LockstepVectors

// The tanh form of the Gaussian error linear unit, with u = √(2/π) · (x + 0.044715 x³):
//
//     y = x · (1 + tanh u) / 2 = x · σ(2u),   σ(z) = 1 / (1 + e⁻ᶻ)
//
// Source: Hendrycks & Gimpel, 2016, <https://arxiv.org/abs/1606.08415>, section 2.

/// The plain form that the vector form is held to.
public func geluTanhReference<E: KernelElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
  for i in 0..<count {
    let v = Double(x[i].float)
    let u = (2 / Double.pi).squareRoot() * (v + 0.044715 * v * v * v)
    y[i] = E(Float(0.5 * v * (1 + tanh(u))))
  }
}

/// dx = dy · (s + x · s · (1 − s) · 2u′), s = σ(2u).
public func geluTanhGradientReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  let factor = (2 / Double.pi).squareRoot()
  for i in 0..<count {
    let v = Double(x[i].float)
    let t = tanh(factor * (v + 0.044715 * v * v * v))
    let slope = factor * (1 + 3 * 0.044715 * v * v)
    dx[i] = E(Float(Double(dy[i].float) * 0.5 * (1 + t + v * (1 - t * t) * slope)))
  }
}

/// σ(2u) in every lane.
@_alwaysEmitIntoClient @_transparent
public func geluTanhWeight(_ v: Vector) -> Vector {
  logistic(
    ofNegative: v
      * fma(v * v, Vector(repeating: -1.595_769_1 * 0.044_715), Vector(repeating: -1.595_769_1)))
}

/// The vector form of ``geluTanhReference``.
@_alwaysEmitIntoClient @inline(__always)
public func geluTanhLoop<E: KernelElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
  mapLoop(x, count, y) { $0 * geluTanhWeight($0) }
}

/// The vector form of ``geluTanhGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func geluTanhGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  mapLoop(x, dy, count, dx) { v, g in
    let s = geluTanhWeight(v)
    let slope = fma(
      v * v, Vector(repeating: 3 * 1.595_769_1 * 0.044_715), Vector(repeating: 1.595_769_1))
    return g * fma(v * s * (Vector(repeating: 1) - s), slope, s)
  }
}
