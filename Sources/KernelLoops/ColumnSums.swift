// Sums over the rows of `x` `[rows, channels]` in float64: sums[c] += Σ x.

/// The plain form that the vector form is held to.
public func columnSumsReference(_ x: Input, _ rows: Int, _ channels: Int, _ sums: Sums) {
  for row in 0..<rows {
    for c in 0..<channels { sums[c] += Double(x[row * channels + c]) }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func columnSumsLoop(_ x: Input, _ rows: Int, _ channels: Int, _ sums: Sums) {
  let whole = vectorized(channels)
  let block = rowBlock(channels)
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c < whole {
      var (s0, s1) = (loadWide(sums, c), loadWide(sums, c + 8))
      var i = from * channels + c
      for _ in from..<to {
        let v = load(x, i)
        s0 += widen(v.lowHalf)
        s1 += widen(v.highHalf)
        i += channels
      }
      storeWide(s0, sums, c)
      storeWide(s1, sums, c + 8)
      c += 16
    }
    while c < channels {
      var s = 0.0
      for row in from..<to { s += Double(x[row * channels + c]) }
      sums[c] += s
      c += 1
    }
    from = to
  }
}
