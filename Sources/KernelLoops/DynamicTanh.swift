import Glibc
public import LockstepVectors

// The loops of dynamic tanh, over rows of `width` channels:
//
//     y = gain · t + bias,   t = tanh(α x)

/// The plain form that the vector form is held to.
public func dynamicTanhReference<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ width: Int, _ alpha: Float, _ gain: Input, _ bias: Input,
  _ y: Target<E>
) {
  for row in 0..<rows {
    for c in 0..<width {
      let t = tanh(Double(alpha) * Double(x[row * width + c].float))
      y[row * width + c] = E(Float(Double(gain[c]) * t + Double(bias[c])))
    }
  }
}

/// The backward pass, which returns Σ h · x, the gradient of α.
///
/// With h = dy · gain · (1 − t²):
///
///     dx = α · h,  sums[c] += Σ dy · t,  sums[width + c] += Σ dy
public func dynamicTanhGradientReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ width: Int, _ alpha: Float, _ gain: Input,
  _ dx: Target<E>, _ sums: Sums
) -> Double {
  var slope = 0.0
  for row in 0..<rows {
    for c in 0..<width {
      let i = row * width + c
      let (v, g) = (Double(x[i].float), Double(dy[i].float))
      let t = tanh(Double(alpha) * v)
      let h = g * Double(gain[c]) * (1 - t * t)
      dx[i] = E(Float(Double(alpha) * h))
      sums[c] += g * t
      sums[width + c] += g
      slope += h * v
    }
  }
  return slope
}

/// The vector form of ``dynamicTanhReference``.
@_alwaysEmitIntoClient @inline(__always)
public func dynamicTanhLoop<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ width: Int, _ alpha: Float, _ gain: Input, _ bias: Input,
  _ y: Target<E>
) {
  let a = Vector(repeating: alpha)
  for row in 0..<rows {
    let (x, y) = (x + row * width, y + row * width)
    var c = 0
    while c < width {
      let n = width - c
      let whole = n >= 16
      let t = hyperbolicTangent((whole ? load(x, c) : loadPartial(x, c, n, 0)) * a)
      let r = fma(
        t, whole ? load(gain, c) : loadPartial(gain, c, n, 0),
        whole ? load(bias, c) : loadPartial(bias, c, n, 0))
      if whole { store(r, y, c) } else { storePartial(r, y, c, n) }
      c += 16
    }
  }
}

/// The vector form of ``dynamicTanhGradientReference``.
///
/// `scratch` has `2 · width` floats, the sums over a block of rows before they are widened.
@_alwaysEmitIntoClient @inline(__always)
public func dynamicTanhGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ width: Int, _ alpha: Float, _ gain: Input,
  _ dx: Target<E>, _ sums: Sums, _ scratch: Output
) -> Double {
  let (a, one) = (Vector(repeating: alpha), Vector(repeating: 1))
  let (gains, biases) = (scratch, scratch + width)
  scratch.update(repeating: 0, count: 2 * width)
  var slope = 0.0
  for row in 0..<rows {
    let (x, dy, dx) = (x + row * width, dy + row * width, dx + row * width)
    var slopes = Vector.zero
    var c = 0
    while c < width {
      let n = width - c
      let whole = n >= 16
      let v = whole ? load(x, c) : loadPartial(x, c, n, 0)
      let g = whole ? load(dy, c) : loadPartial(dy, c, n, 0)
      let w = whole ? load(gain, c) : loadPartial(gain, c, n, 0)
      let t = hyperbolicTangent(v * a)
      let h = g * w * fma(-t, t, one)
      slopes = fma(h, v, slopes)
      if whole {
        store(fma(g, t, load(gains, c)), gains, c)
        store(load(biases, c) + g, biases, c)
        store(h * a, dx, c)
      } else {
        storePartial(fma(g, t, loadPartial(Input(gains), c, n, 0)), gains, c, n)
        storePartial(loadPartial(Input(biases), c, n, 0) + g, biases, c, n)
        storePartial(h * a, dx, c, n)
      }
      c += 16
    }
    slope += Double(laneSum(slopes))
    if row % 32 == 31 { flushRowSums(scratch, 2 * width, sums) }
  }
  flushRowSums(scratch, 2 * width, sums)
  return slope
}
