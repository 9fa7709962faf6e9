import Glibc
public import LockstepVectors

// The logistic function:
//
//     y = σ(x) = 1 / (1 + e⁻ˣ)

/// The plain form that the vector form is held to.
public func sigmoidReference<E: KernelElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
  for i in 0..<count { y[i] = E(Float(1 / (1 + exp(-Double(x[i].float))))) }
}

/// dx = dy · y · (1 − y), from the output y.
public func sigmoidGradientReference<E: KernelElement>(
  _ y: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  for i in 0..<count {
    let s = Double(y[i].float)
    dx[i] = E(Float(Double(dy[i].float) * s * (1 - s)))
  }
}

/// σ(x) in every lane.
@_alwaysEmitIntoClient @_transparent
public func logistic(_ x: Vector) -> Vector { logistic(ofNegative: -x) }

/// σ(−x) in every lane, for those who have −x at hand.
@_alwaysEmitIntoClient @_transparent
public func logistic(ofNegative x: Vector) -> Vector {
  Vector(repeating: 1) / (Vector(repeating: 1) + exponential(x))
}

/// The vector form of ``sigmoidReference``.
@_alwaysEmitIntoClient @inline(__always)
public func sigmoidLoop<E: KernelElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
  mapLoop(x, count, y) { logistic($0) }
}

/// The vector form of ``sigmoidGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func sigmoidGradientLoop<E: KernelElement>(
  _ y: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  mapLoop(y, dy, count, dx) { s, g in g * s * (Vector(repeating: 1) - s) }
}
