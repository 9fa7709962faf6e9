import Glibc
public import LockstepVectors

// The gated linear unit with SiLU, of a gate a and a value b:
//
//     y = a · σ(a) · b
//
// Source: Shazeer, 2020, <https://arxiv.org/abs/2002.05202>, eq. 6.

/// The plain form that the vector form is held to.
public func swiGLUReference<E: KernelElement>(
  _ a: Source<E>, _ b: Source<E>, _ count: Int, _ y: Target<E>
) {
  for i in 0..<count {
    let v = Double(a[i].float)
    y[i] = E(Float(v / (1 + exp(-v)) * Double(b[i].float)))
  }
}

/// da = dy · b · (s + a · s · (1 − s)) and db = dy · a · s, s = σ(a).
public func swiGLUGradientReference<E: KernelElement>(
  _ a: Source<E>, _ b: Source<E>, _ dy: Source<E>, _ count: Int, _ da: Target<E>, _ db: Target<E>
) {
  for i in 0..<count {
    let (v, g) = (Double(a[i].float), Double(dy[i].float))
    let s = 1 / (1 + exp(-v))
    let value = Double(b[i].float)
    da[i] = E(Float(g * value * (s + v * s * (1 - s))))
    db[i] = E(Float(g * v * s))
  }
}

/// The vector form of ``swiGLUReference``.
@_alwaysEmitIntoClient @inline(__always)
public func swiGLULoop<E: KernelElement>(
  _ a: Source<E>, _ b: Source<E>, _ count: Int, _ y: Target<E>
) {
  mapLoop(a, b, count, y) { $0 * logistic($0) * $1 }
}

/// The vector form of ``swiGLUGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func swiGLUGradientLoop<E: KernelElement>(
  _ a: Source<E>, _ b: Source<E>, _ dy: Source<E>, _ count: Int, _ da: Target<E>, _ db: Target<E>
) {
  var i = 0
  while i < count {
    let n = min(16, count - i)
    let v = n == 16 ? load(a, i) : loadPartial(a, i, n, 0)
    let w = n == 16 ? load(b, i) : loadPartial(b, i, n, 0)
    let g = n == 16 ? load(dy, i) : loadPartial(dy, i, n, 0)
    let s = logistic(v)
    let slope = fma(v * s, Vector(repeating: 1) - s, s)
    if n == 16 {
      store(g * w * slope, da, i)
      store(g * v * s, db, i)
    } else {
      storePartial(g * w * slope, da, i, n)
      storePartial(g * v * s, db, i, n)
    }
    i += 16
  }
}
