import Glibc

// The logistic function:
//
//     y = σ(x) = 1 / (1 + e⁻ˣ)

/// The plain form that the vector form is held to.
public func sigmoidReference(_ x: Input, _ count: Int, _ y: Output) {
  for i in 0..<count { y[i] = Float(1 / (1 + exp(-Double(x[i])))) }
}

/// dx = dy · y · (1 − y), from the output y.
public func sigmoidGradientReference(_ y: Input, _ dy: Input, _ count: Int, _ dx: Output) {
  for i in 0..<count {
    let s = Double(y[i])
    dx[i] = Float(Double(dy[i]) * s * (1 - s))
  }
}

/// σ(x) in every lane.
@_alwaysEmitIntoClient @_transparent
public func logistic(_ x: Vector) -> Vector {
  Vector(repeating: 1) / (Vector(repeating: 1) + exponential(-x))
}

/// The vector form of ``sigmoidReference``.
@_alwaysEmitIntoClient @inline(__always)
public func sigmoidLoop(_ x: Input, _ count: Int, _ y: Output) {
  var i = 0
  while i < count {
    let n = min(16, count - i)
    let r = logistic(n == 16 ? load(x, i) : loadPartial(x, i, n, 0))
    if n == 16 { store(r, y, i) } else { storePartial(r, y, i, n) }
    i += 16
  }
}

/// The vector form of ``sigmoidGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func sigmoidGradientLoop(_ y: Input, _ dy: Input, _ count: Int, _ dx: Output) {
  var i = 0
  while i < count {
    let n = min(16, count - i)
    let s = n == 16 ? load(y, i) : loadPartial(y, i, n, 0)
    let g = n == 16 ? load(dy, i) : loadPartial(dy, i, n, 0)
    let r = g * s * (Vector(repeating: 1) - s)
    if n == 16 { store(r, dx, i) } else { storePartial(r, dx, i, n) }
    i += 16
  }
}
