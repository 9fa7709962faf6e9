// The backward pass of a row norm, with t, r and k as its forward pass saved them and
// h = dy · gain:
//
//     dx = r · (h − mean h) − t · k · Σ h·t     (mean h only where centred)
//     sums[c]         += Σ dy                    (the bias's gradient, only where centred)
//     sums[width + c] += Σ dy · t · r            (the gain's)
//
// `sums` has `2 · period · width` elements: all of the bias's, then all of the gain's.

/// The plain form that the vector form is held to.
public func rowGradientReference(
  _ centred: Bool, _ x: Input, _ dy: Input, _ rows: Int, _ width: Int, _ period: Int,
  _ gain: Input, _ saved: Input, _ dx: Output, _ sums: Sums
) {
  for row in 0..<rows {
    let (x, dy, dx) = (x + row * width, dy + row * width, dx + row * width)
    let base = row % period * width
    let (k, d, r, slope) = (
      saved[4 * row], saved[4 * row + 1], saved[4 * row + 2], saved[4 * row + 3]
    )
    var (total, product) = (0.0, 0.0)
    for i in 0..<width {
      let t = Double((x[i] - k) - d)
      let h = Double(dy[i]) * Double(gain[base + i])
      total += h
      product += h * t
      if centred { sums[base + i] += Double(dy[i]) }
      sums[period * width + base + i] += Double(dy[i]) * t * Double(r)
    }
    let mean = centred ? total / Double(width) : 0
    for i in 0..<width {
      let t = Double((x[i] - k) - d)
      let h = Double(dy[i]) * Double(gain[base + i])
      dx[i] = Float(Double(r) * (h - mean) - t * Double(slope) * product)
    }
  }
}

/// The vector form. `scratch` has `2 · period · width` floats: the parameters' gradients over
/// a block of rows, before they are widened.
@_alwaysEmitIntoClient @inline(__always)
public func rowGradientLoop(
  _ centred: Bool, _ x: Input, _ dy: Input, _ rows: Int, _ width: Int, _ period: Int,
  _ gain: Input, _ saved: Input, _ dx: Output, _ sums: Sums, _ scratch: Output
) {
  let whole = vectorized(width)
  let inverse = 1 / Float(width)
  let all = period * width
  let block = 32 * period
  var from = 0
  var part = 0
  while from < rows {
    let to = min(rows, from + block)
    scratch.update(repeating: 0, count: 2 * all)
    for row in from..<to {
      let (x, dy, dx) = (x + row * width, dy + row * width, dx + row * width)
      let saved = saved + 4 * row
      let gain = gain + part * width
      let (dbias, dgain) = (scratch + part * width, scratch + all + part * width)
      part = part + 1 == period ? 0 : part + 1
      let (k, d, r) = (
        Vector(repeating: saved[0]), Vector(repeating: saved[1]), Vector(repeating: saved[2])
      )
      var (total, product) = (0.0, 0.0)
      var i = 0
      while i < whole {
        let chunk = min(whole, i + 1024)
        var (s0, p0) = (Vector.zero, Vector.zero)
        while i < chunk {
          let t = centred ? (load(x, i) - k) - d : load(x, i)
          let g = load(dy, i)
          let h = g * load(gain, i)
          if centred {
            s0 += h
            store(load(dbias, i) + g, dbias, i)
          }
          p0 = fma(h, t, p0)
          store(fma(g, t * r, load(dgain, i)), dgain, i)
          i += 16
        }
        if centred { total += Double(laneSum(s0)) }
        product += Double(laneSum(p0))
      }
      while i < width {
        let t = (x[i] - saved[0]) - saved[1]
        let h = dy[i] * gain[i]
        if centred {
          total += Double(h)
          dbias[i] += dy[i]
        }
        product += Double(h * t)
        dgain[i] += dy[i] * t * saved[2]
        i += 1
      }
      let mean = centred ? Float(total) * inverse : 0
      let slope = Float(product) * saved[3]
      let (m, q) = (Vector(repeating: -mean * saved[2]), Vector(repeating: -slope))
      i = 0
      while i < whole {
        let t = centred ? (load(x, i) - k) - d : load(x, i)
        let h = load(dy, i) * load(gain, i)
        store(fma(t, q, centred ? fma(h, r, m) : h * r), dx, i)
        i += 16
      }
      while i < width {
        let t = (x[i] - saved[0]) - saved[1]
        dx[i] = saved[2] * (dy[i] * gain[i] - mean) - t * slope
        i += 1
      }
    }
    var i = 0
    while i < vectorized(2 * all) {
      let v = load(scratch, i)
      storeWide(loadWide(sums, i) + widen(v.lowHalf), sums, i)
      storeWide(loadWide(sums, i + 8) + widen(v.highHalf), sums, i + 8)
      i += 16
    }
    while i < 2 * all {
      sums[i] += Double(scratch[i])
      i += 1
    }
    from = to
  }
}
