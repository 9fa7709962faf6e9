public import LockstepVectors

// Sums over the rows of `x` `[rows, channels]` in float64: sums[c] += Σ x.

/// The plain form that the vector form is held to.
public func columnSumsReference<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ sums: Sums
) {
  for row in 0..<rows {
    for c in 0..<channels { sums[c] += Double(x[row * channels + c].float) }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @_transparent
public func columnSumsLoop<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ sums: Sums
) {
  let whole = vectorized(channels)
  let block = rowBlock(channels)
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c < whole {
      var s = WideSums(sums, c)
      var i = from * channels + c
      for _ in from..<to {
        s.add(WideSums(load(x, i)))
        i += channels
      }
      s.store(sums, c)
      c += 16
    }
    while c < channels {
      var s = 0.0
      for row in from..<to { s += Double(x[row * channels + c].float) }
      sums[c] += s
      c += 1
    }
    from = to
  }
}
