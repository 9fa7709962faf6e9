public import LockstepVectors

// The backward pass of a row norm, with t, r and k as its forward pass saved them, u = t · r and
// h = dy · gain, with what passes of dy:
//
//     dx = r · (h − mean h − u · k · Σ h·u)     (mean h only where centred)
//     sums[c]         += Σ dy                    (the bias's gradient, only where centred)
//     sums[width + c] += Σ dy · u                (the gain's)
//
// u is near 1 whatever the row's size: products of t and r³ would leave the range of float32.
//
// `sums` has `2 · period · width` elements: all of the bias's, then all of the gain's.

/// The plain form that the vector form is held to.
public func rowGradientReference<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ width: Int, _ period: Int,
  _ gain: Input, _ saved: Input, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ sums: Sums
) {
  for row in 0..<rows {
    let (x, dy, dx) = (x + row * width, dy + row * width, dx + row * width)
    let epilogue = epilogue.advanced(by: row * width)
    let base = row % period * width
    let (k, d, r, slope) = (
      saved[row], saved[rows + row], saved[2 * rows + row], saved[3 * rows + row]
    )
    var (total, product) = (0.0, 0.0)
    for i in 0..<width {
      let u = Double((x[i].float - k) - d) * Double(r)
      let g = Double(epilogue.pass(dy[i].float, i))
      let h = g * Double(gain[base + i])
      total += h
      product += h * u
      if centred { sums[base + i] += g }
      sums[period * width + base + i] += g * u
    }
    let mean = centred ? total / Double(width) : 0
    let passed = epilogue.second(dy)
    for i in 0..<width {
      let u = Double((x[i].float - k) - d) * Double(r)
      let h = Double(passed[i].float) * Double(gain[base + i])
      dx[i] = E(Float(Double(r) * (h - mean - u * Double(slope) * product)))
    }
  }
}

/// The vector form.
///
/// Rows of at most 32 elements go sixteen at a time. `scratch` has `2 · period · width` floats, the
/// parameters' gradients over a block of rows before they are widened, and 528 more.
@_alwaysEmitIntoClient @inline(__always)
public func rowGradientLoop<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ width: Int, _ period: Int,
  _ gain: Input, _ saved: Input, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ sums: Sums,
  _ scratch: Output
) {
  let all = period * width
  scratch.update(repeating: 0, count: 2 * all)
  let isNarrow = width % 16 == 0 && width <= 32 && period == 1
  let whole = vectorized(width)
  let inverse = 1 / Double(width)
  let block = 32 * max(period, 2)
  var start = 0
  while start < rows {
    let end = min(rows, start + block)
    var row = start
    var base = 0
    while isNarrow, row + 16 <= end {
      sixteenRowsGradient(
        centred, x + row * width, dy + row * width, width, gain, saved + row, rows,
        epilogue.advanced(by: row * width), dx + row * width, scratch, scratch + all,
        scratch + 2 * all)
      row += 16
    }
    while row < end {
      let (x, dy, dx) = (x + row * width, dy + row * width, dx + row * width)
      let epilogue = epilogue.advanced(by: row * width)
      let passed = epilogue.second(dy)
      let (dbias, dgain, gain) = (scratch + base, scratch + all + base, gain + base)
      let (k, d, r) = (saved[row], saved[rows + row], saved[2 * rows + row])
      let (vk, vd, vr) = (Vector(repeating: k), Vector(repeating: d), Vector(repeating: r))
      var (total, product) = (0.0, 0.0)
      var i = 0
      while i < whole {
        let chunk = min(whole, i + 1024)
        var (totals, products) = (Vector.zero, Vector.zero)
        while i < chunk {
          prefetchRead(x, i)
          prefetchRead(dy, i)
          let (a, g) = (load(x, i), epilogue.pass(load(dy, i), i))
          let (oldGain, oldBias) = (load(dgain, i), centred ? load(dbias, i) : Vector.zero)
          let u = (centred ? (a - vk) - vd : a) * vr
          let h = g * load(gain, i)
          products = fma(h, u, products)
          if centred {
            totals += h
            store(oldBias + g, dbias, i)
          }
          store(fma(g, u, oldGain), dgain, i)
          i += 16
        }
        if centred { total += Double(laneSum(totals)) }
        product += Double(laneSum(products))
      }
      while i < width {
        let u = ((x[i].float - k) - d) * r
        let g = epilogue.pass(dy[i].float, i)
        let h = g * gain[i]
        if centred {
          total += Double(h)
          dbias[i] += g
        }
        product += Double(h * u)
        dgain[i] += g * u
        i += 1
      }
      let mean = centred ? Float(total * inverse) : 0
      let slope = Float(product) * saved[3 * rows + row]
      let (m, q) = (Vector(repeating: -mean * r), Vector(repeating: -slope * r))
      i = 0
      while i < whole {
        let u = (centred ? (load(x, i) - vk) - vd : load(x, i)) * vr
        let h = load(passed, i) * load(gain, i)
        store(fma(u, q, centred ? fma(h, vr, m) : h * vr), dx, i)
        i += 16
      }
      while i < width {
        dx[i] = E(r * (passed[i].float * gain[i] - mean - ((x[i].float - k) - d) * r * slope))
        i += 1
      }
      row += 1
      base = base + width == all ? 0 : base + width
    }
    flushRowSums(scratch, 2 * all, sums)
    start = end
  }
}

/// Adds `count` floats to float64 sums, and makes them 0.
@_alwaysEmitIntoClient @_transparent
public func flushRowSums(_ scratch: Output, _ count: Int, _ sums: Sums) {
  var i = 0
  while i < vectorized(count) {
    load(scratch, i).add(to: sums, i)
    store(Vector.zero, scratch, i)
    i += 16
  }
  while i < count {
    sums[i] += Double(scratch[i])
    scratch[i] = 0
    i += 1
  }
}

/// Sixteen rows of 16 or 32 elements: their projections meet in the lanes of one vector.
///
/// `scratch` has 528 floats.
@_alwaysEmitIntoClient @_transparent
public func sixteenRowsGradient<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ dy: Source<E>, _ width: Int, _ gain: Input, _ saved: Input,
  _ rows: Int, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ dbias: Output, _ dgain: Output,
  _ scratch: Output
) {
  let (scales, slopes) = (saved + 2 * rows, saved + 3 * rows)
  let r = load(scales, 0)
  // u = (x − K) · r − d · r: a multiply-add.
  let offsets = scratch + 512
  store(-load(saved, rows) * r, offsets, 0)
  // In memory order, one row after the other: two strips of columns would keep the memory from streaming.
  let isPair = width == 32
  let (w0, w1) = (load(gain, 0), isPair ? load(gain, 16) : Vector.zero)
  var (bias0, gain0) = (load(dbias, 0), load(dgain, 0))
  var (bias1, gain1) = isPair ? (load(dbias, 16), load(dgain, 16)) : (Vector.zero, Vector.zero)
  for row in 0..<16 {
    let i = row * width
    let (k, d) = (Vector(repeating: saved[row]), Vector(repeating: offsets[row]))
    let r = Vector(repeating: scales[row])
    let g0 = epilogue.pass(load(dy, i), i)
    let u0 = centred ? fma(load(x, i) - k, r, d) : load(x, i) * r
    var h = g0 * w0
    var product = h * u0
    gain0 = fma(g0, u0, gain0)
    if centred { bias0 += g0 }
    if isPair {
      let g1 = epilogue.pass(load(dy, i + 16), i + 16)
      let u1 = centred ? fma(load(x, i + 16) - k, r, d) : load(x, i + 16) * r
      let h1 = g1 * w1
      h += h1
      product = fma(h1, u1, product)
      gain1 = fma(g1, u1, gain1)
      if centred { bias1 += g1 }
    }
    if centred { store(h, scratch, 16 * row) }
    store(product, scratch, 256 + 16 * row)
  }
  if centred { store(bias0, dbias, 0) }
  store(gain0, dgain, 0)
  if isPair {
    if centred { store(bias1, dbias, 16) }
    store(gain1, dgain, 16)
  }
  let inverse = Vector(repeating: -1 / Float(width))
  let means = centred ? sixteenLaneSums(scratch) * inverse * r : Vector.zero
  let q = sixteenLaneSums(scratch + 256) * load(slopes, 0) * r
  store(means, scratch, 0)
  store(-q, scratch, 16)
  let passed = epilogue.second(dy)
  for row in 0..<16 {
    let (k, d) = (Vector(repeating: saved[row]), Vector(repeating: offsets[row]))
    let (m, q) = (Vector(repeating: scratch[row]), Vector(repeating: scratch[16 + row]))
    let r = Vector(repeating: scales[row])
    var c = 0
    var i = row * width
    while c < width {
      let u = centred ? fma(load(x, i) - k, r, d) : load(x, i) * r
      let h = load(passed, i) * load(gain, c)
      store(fma(u, q, centred ? fma(h, r, m) : h * r), dx, i)
      c += 16
      i += 16
    }
  }
}
