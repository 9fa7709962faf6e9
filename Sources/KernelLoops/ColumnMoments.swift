// Sums over the rows of `x` `[rows, channels]`, shifted by K `[channels]`, in float64:
//
//     sums[c]            += Σ (x − K)
//     sums[channels + c] += Σ (x − K)²

/// The plain form that the vector form is held to.
public func columnMomentsReference(
  _ x: Input, _ rows: Int, _ channels: Int, _ shift: Input, _ sums: Sums
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let d = Double(x[row * channels + c]) - Double(shift[c])
      sums[c] += d
      sums[channels + c] += d * d
    }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func columnMomentsLoop(
  _ x: Input, _ rows: Int, _ channels: Int, _ shift: Input, _ sums: Sums
) {
  let whole = vectorized(channels)
  let block = rowBlock(channels)
  let squares = sums + channels
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c < whole {
      let k = load(shift, c)
      let (k0, k1) = (widen(k.lowHalf), widen(k.highHalf))
      var (s0, s1) = (loadWide(sums, c), loadWide(sums, c + 8))
      var (q0, q1) = (loadWide(squares, c), loadWide(squares, c + 8))
      var i = from * channels + c
      for _ in from..<to {
        let v = load(x, i)
        let d0 = widen(v.lowHalf) - k0
        let d1 = widen(v.highHalf) - k1
        s0 += d0
        s1 += d1
        q0.addProduct(d0, d0)
        q1.addProduct(d1, d1)
        i += channels
      }
      storeWide(s0, sums, c)
      storeWide(s1, sums, c + 8)
      storeWide(q0, squares, c)
      storeWide(q1, squares, c + 8)
      c += 16
    }
    while c < channels {
      let k = Double(shift[c])
      var (s, q) = (0.0, 0.0)
      for row in from..<to {
        let d = Double(x[row * channels + c]) - k
        s += d
        q += d * d
      }
      sums[c] += s
      squares[c] += q
      c += 1
    }
    from = to
  }
}
