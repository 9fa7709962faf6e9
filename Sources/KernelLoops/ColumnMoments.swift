// Sums over the rows of `x` `[rows, channels]`, shifted by K `[channels]`, in float64:
//
//     sums[c]            += Σ (x − K)
//     sums[channels + c] += Σ (x − K)²

/// The plain form that the vector form is held to.
public func columnMomentsReference<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ shift: Input, _ sums: Sums
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let d = Double(x[row * channels + c].float) - Double(shift[c])
      sums[c] += d
      sums[channels + c] += d * d
    }
  }
}

/// Sixteen of one row, less K, taken into the sums.
@_alwaysEmitIntoClient @_transparent
public func addMoments(_ x: Vector, _ k: WideSums, _ s: inout WideSums, _ q: inout WideSums) {
  let d = WideSums(x) - k
  s.add(d)
  q.add(d, times: d)
}

/// The vector form: 64 columns at a time, whose rows are contiguous in the cache's terms, then two rows of
/// sixteen.
@_alwaysEmitIntoClient @_transparent
public func columnMomentsLoop<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ shift: Input, _ sums: Sums
) {
  let block = rowBlock(channels)
  let squares = sums + channels
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c + 64 <= channels {
      let (k0, k1) = (WideSums(load(shift, c)), WideSums(load(shift, c + 16)))
      let (k2, k3) = (WideSums(load(shift, c + 32)), WideSums(load(shift, c + 48)))
      var (s0, s1) = (WideSums(sums, c), WideSums(sums, c + 16))
      var (s2, s3) = (WideSums(sums, c + 32), WideSums(sums, c + 48))
      var (q0, q1) = (WideSums(squares, c), WideSums(squares, c + 16))
      var (q2, q3) = (WideSums(squares, c + 32), WideSums(squares, c + 48))
      var i = from * channels + c
      for _ in from..<to {
        addMoments(load(x, i), k0, &s0, &q0)
        addMoments(load(x, i + 16), k1, &s1, &q1)
        addMoments(load(x, i + 32), k2, &s2, &q2)
        addMoments(load(x, i + 48), k3, &s3, &q3)
        i += channels
      }
      s0.store(sums, c)
      s1.store(sums, c + 16)
      s2.store(sums, c + 32)
      s3.store(sums, c + 48)
      q0.store(squares, c)
      q1.store(squares, c + 16)
      q2.store(squares, c + 32)
      q3.store(squares, c + 48)
      c += 64
    }
    while c + 16 <= channels {
      let k = WideSums(load(shift, c))
      var (s0, q0) = (WideSums(sums, c), WideSums(squares, c))
      var (s1, q1) = (WideSums(Vector.zero), WideSums(Vector.zero))
      var i = from * channels + c
      var row = from
      while row + 2 <= to {
        addMoments(load(x, i), k, &s0, &q0)
        addMoments(load(x, i + channels), k, &s1, &q1)
        i += 2 * channels
        row += 2
      }
      if row < to { addMoments(load(x, i), k, &s0, &q0) }
      s0.add(s1)
      q0.add(q1)
      s0.store(sums, c)
      q0.store(squares, c)
      c += 16
    }
    while c < channels {
      let k = Double(shift[c])
      var (s, q) = (0.0, 0.0)
      for row in from..<to {
        let d = Double(x[row * channels + c].float) - k
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
