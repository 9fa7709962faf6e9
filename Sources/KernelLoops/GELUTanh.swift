import Glibc

// The tanh form of the Gaussian error linear unit, with u = √(2/π) · (x + 0.044715 x³):
//
//     y = x · (1 + tanh u) / 2 = x · σ(2u),   σ(z) = 1 / (1 + e⁻ᶻ)
//
// Source: Hendrycks & Gimpel, 2016, <https://arxiv.org/abs/1606.08415>, section 2.

/// The plain form that the vector form is held to.
public func geluTanhReference(_ x: Input, _ count: Int, _ y: Output) {
  for i in 0..<count {
    let v = Double(x[i])
    let u = (2 / Double.pi).squareRoot() * (v + 0.044715 * v * v * v)
    y[i] = Float(0.5 * v * (1 + tanh(u)))
  }
}

/// dx = dy · (s + x · s · (1 − s) · 2u′), s = σ(2u).
public func geluTanhGradientReference(_ x: Input, _ dy: Input, _ count: Int, _ dx: Output) {
  let factor = (2 / Double.pi).squareRoot()
  for i in 0..<count {
    let v = Double(x[i])
    let t = tanh(factor * (v + 0.044715 * v * v * v))
    let slope = factor * (1 + 3 * 0.044715 * v * v)
    dx[i] = Float(Double(dy[i]) * 0.5 * (1 + t + v * (1 - t * t) * slope))
  }
}

/// 2u in every lane.
@_alwaysEmitIntoClient @_transparent
public func geluTanhArgument(_ v: Vector) -> Vector {
  v * fma(v * v, Vector(repeating: 1.595_769_1 * 0.044_715), Vector(repeating: 1.595_769_1))
}

/// The vector form of ``geluTanhReference``.
@_alwaysEmitIntoClient @inline(__always)
public func geluTanhLoop(_ x: Input, _ count: Int, _ y: Output) {
  var i = 0
  while i < count {
    let n = min(16, count - i)
    let v = n == 16 ? load(x, i) : loadPartial(x, i, n, 0)
    let r = v * logistic(geluTanhArgument(v))
    if n == 16 { store(r, y, i) } else { storePartial(r, y, i, n) }
    i += 16
  }
}

/// The vector form of ``geluTanhGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func geluTanhGradientLoop(_ x: Input, _ dy: Input, _ count: Int, _ dx: Output) {
  var i = 0
  while i < count {
    let n = min(16, count - i)
    let v = n == 16 ? load(x, i) : loadPartial(x, i, n, 0)
    let g = n == 16 ? load(dy, i) : loadPartial(dy, i, n, 0)
    let s = logistic(geluTanhArgument(v))
    let slope = fma(
      v * v, Vector(repeating: 3 * 1.595_769_1 * 0.044_715), Vector(repeating: 1.595_769_1))
    let r = g * fma(v * s * (Vector(repeating: 1) - s), slope, s)
    if n == 16 { store(r, dx, i) } else { storePartial(r, dx, i, n) }
    i += 16
  }
}
