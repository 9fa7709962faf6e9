import Glibc
public import LockstepKernelLoops
public import LockstepVectors

// A step of an LSTM. The gates i, f, g and o of a row lie side by side, `width` numbers each:
//
//     i, f, o = σ(a),  g = tanh a,  c′ = f · c + i · g
//     h = o · tanh z,  z = c′ or a norm of it
//
// Source: Hochreiter & Schmidhuber, 1997; with the forget gate of Gers et al., 2000.

private func logistic(_ x: Float) -> Double { 1 / (1 + exp(-Double(x))) }

/// The plain form that ``lstmCellLoop`` is held to: the gates, written over a, and the next cell.
public func lstmCellReference(
  _ gates: Output, _ cell: Input, _ rows: Int, _ width: Int, _ next: Output
) {
  for row in 0..<rows {
    let (a, c, y) = (gates + 4 * row * width, cell + row * width, next + row * width)
    for k in 0..<width {
      let (i, f) = (logistic(a[k]), logistic(a[width + k]))
      let (g, o) = (tanh(Double(a[2 * width + k])), logistic(a[3 * width + k]))
      y[k] = Float(f * Double(c[k]) + i * g)
      (a[k], a[width + k]) = (Float(i), Float(f))
      (a[2 * width + k], a[3 * width + k]) = (Float(g), Float(o))
    }
  }
}

/// The plain form that ``lstmOutputLoop`` is held to: tanh z and h.
public func lstmOutputReference(
  _ gates: Input, _ z: Input, _ rows: Int, _ width: Int, _ bent: Output, _ h: Output
) {
  for row in 0..<rows {
    let (o, at) = (gates + (4 * row + 3) * width, row * width)
    for k in 0..<width {
      let t = tanh(Double(z[at + k]))
      bent[at + k] = Float(t)
      h[at + k] = Float(Double(o[k]) * t)
    }
  }
}

/// The plain form that ``lstmOutputGradientLoop`` is held to: the part of da that belongs to o, and dz.
public func lstmOutputGradientReference(
  _ gates: Input, _ bent: Input, _ dh: Input, _ rows: Int, _ width: Int, _ da: Output, _ dz: Output
) {
  for row in 0..<rows {
    let (gate, at) = ((4 * row + 3) * width, row * width)
    for k in 0..<width {
      let (o, t, g) = (Double(gates[gate + k]), Double(bent[at + k]), Double(dh[at + k]))
      da[gate + k] = Float(g * t * o * (1 - o))
      dz[at + k] = Float(g * o * (1 - t * t))
    }
  }
}

/// The plain form that ``lstmCellGradientLoop`` is held to: the parts of da that belong to i, f and g, and the
/// gradient of the cell before, written over that of the next, to which `dz` is added first.
public func lstmCellGradientReference(
  _ gates: Input, _ cell: Input, _ dz: Input, _ rows: Int, _ width: Int, _ da: Output,
  _ dcell: Output
) {
  for row in 0..<rows {
    let (s, d, at) = (gates + 4 * row * width, da + 4 * row * width, row * width)
    for k in 0..<width {
      let (i, f) = (Double(s[k]), Double(s[width + k]))
      let g = Double(s[2 * width + k])
      let sum = Double(dcell[at + k]) + Double(dz[at + k])
      d[k] = Float(sum * g * i * (1 - i))
      d[width + k] = Float(sum * Double(cell[at + k]) * f * (1 - f))
      d[2 * width + k] = Float(sum * i * (1 - g * g))
      dcell[at + k] = Float(sum * f)
    }
  }
}

/// The sixteen numbers from `p + i`, or as many as are left, the other lanes 0.
@_alwaysEmitIntoClient @_transparent
public func loadLeft(_ p: Input, _ i: Int, _ left: Int) -> Vector {
  left >= 16 ? load(p, i) : loadPartial(p, i, left, 0)
}

/// Writes sixteen lanes to `p + i`, or as many as are left.
@_alwaysEmitIntoClient @_transparent
public func storeLeft(_ v: Vector, _ p: Output, _ i: Int, _ left: Int) {
  if left >= 16 { store(v, p, i) } else { storePartial(v, p, i, left) }
}

/// The vector form of ``lstmCellReference``.
@_alwaysEmitIntoClient @inline(__always)
public func lstmCellLoop(
  _ gates: Output, _ cell: Input, _ rows: Int, _ width: Int, _ next: Output
) {
  for row in 0..<rows {
    let a = gates + 4 * row * width
    var k = 0
    while k < width {
      let left = width - k
      let i = logistic(loadLeft(Input(a), k, left))
      let f = logistic(loadLeft(Input(a), width + k, left))
      let g = hyperbolicTangent(loadLeft(Input(a), 2 * width + k, left))
      let o = logistic(loadLeft(Input(a), 3 * width + k, left))
      let c = loadLeft(cell, row * width + k, left)
      storeLeft(fma(f, c, i * g), next, row * width + k, left)
      storeLeft(i, a, k, left)
      storeLeft(f, a, width + k, left)
      storeLeft(g, a, 2 * width + k, left)
      storeLeft(o, a, 3 * width + k, left)
      k += 16
    }
  }
}

/// The vector form of ``lstmOutputReference``.
@_alwaysEmitIntoClient @inline(__always)
public func lstmOutputLoop(
  _ gates: Input, _ z: Input, _ rows: Int, _ width: Int, _ bent: Output, _ h: Output
) {
  for row in 0..<rows {
    var k = 0
    while k < width {
      let (left, at) = (width - k, row * width + k)
      let t = hyperbolicTangent(loadLeft(z, at, left))
      storeLeft(t, bent, at, left)
      storeLeft(t * loadLeft(gates, (4 * row + 3) * width + k, left), h, at, left)
      k += 16
    }
  }
}

/// The vector form of ``lstmOutputGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func lstmOutputGradientLoop(
  _ gates: Input, _ bent: Input, _ dh: Input, _ rows: Int, _ width: Int, _ da: Output, _ dz: Output
) {
  let one = Vector(repeating: 1)
  for row in 0..<rows {
    var k = 0
    while k < width {
      let (left, at, gate) = (width - k, row * width + k, (4 * row + 3) * width + k)
      let o = loadLeft(gates, gate, left)
      let t = loadLeft(bent, at, left)
      let g = loadLeft(dh, at, left) * o
      storeLeft(g * t * (one - o), da, gate, left)
      storeLeft(g * (one - t * t), dz, at, left)
      k += 16
    }
  }
}

/// The vector form of ``lstmCellGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func lstmCellGradientLoop(
  _ gates: Input, _ cell: Input, _ dz: Input, _ rows: Int, _ width: Int, _ da: Output,
  _ dcell: Output
) {
  let one = Vector(repeating: 1)
  for row in 0..<rows {
    let (s, d) = (gates + 4 * row * width, da + 4 * row * width)
    var k = 0
    while k < width {
      let (left, at) = (width - k, row * width + k)
      let i = loadLeft(s, k, left)
      let f = loadLeft(s, width + k, left)
      let g = loadLeft(s, 2 * width + k, left)
      let sum = loadLeft(Input(dcell), at, left) + loadLeft(dz, at, left)
      let forgotten = sum * f
      storeLeft(sum * g * i * (one - i), d, k, left)
      storeLeft(forgotten * loadLeft(cell, at, left) * (one - f), d, width + k, left)
      storeLeft(sum * i * (one - g * g), d, 2 * width + k, left)
      storeLeft(forgotten, dcell, at, left)
      k += 16
    }
  }
}
