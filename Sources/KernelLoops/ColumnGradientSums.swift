// What the backward pass of a column norm sums over rows, in float64, with t = (x − K) − d:
//
//     sums[c]            += Σ dy
//     sums[channels + c] += Σ dy · t

/// The plain form that the vector form is held to.
public func columnGradientSumsReference(
  _ x: Input, _ dy: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ sums: Sums
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let i = row * channels + c
      sums[c] += Double(dy[i])
      sums[channels + c] += Double(dy[i]) * Double((x[i] - center[c]) - offset[c])
    }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func columnGradientSumsLoop(
  _ x: Input, _ dy: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ sums: Sums
) {
  let whole = vectorized(channels)
  let block = rowBlock(channels)
  let products = sums + channels
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c < whole {
      let (k, d) = (load(center, c), load(offset, c))
      var (s0, s1) = (loadWide(sums, c), loadWide(sums, c + 8))
      var (p0, p1) = (loadWide(products, c), loadWide(products, c + 8))
      var i = from * channels + c
      for _ in from..<to {
        let g = load(dy, i)
        let t = (load(x, i) - k) - d
        let (g0, g1) = (widen(g.lowHalf), widen(g.highHalf))
        s0 += g0
        s1 += g1
        p0.addProduct(g0, widen(t.lowHalf))
        p1.addProduct(g1, widen(t.highHalf))
        i += channels
      }
      storeWide(s0, sums, c)
      storeWide(s1, sums, c + 8)
      storeWide(p0, products, c)
      storeWide(p1, products, c + 8)
      c += 16
    }
    while c < channels {
      var (s, p) = (0.0, 0.0)
      for row in from..<to {
        let i = row * channels + c
        s += Double(dy[i])
        p += Double(dy[i]) * Double((x[i] - center[c]) - offset[c])
      }
      sums[c] += s
      products[c] += p
      c += 1
    }
    from = to
  }
}
