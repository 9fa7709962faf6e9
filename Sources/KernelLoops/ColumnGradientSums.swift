public import LockstepVectors

// What the backward pass of a column norm sums over rows, in float64, with t = (x − K) − d:
//
//     sums[c]            += Σ dy
//     sums[channels + c] += Σ dy · t
//
// with what passes of dy.

/// The plain form that the vector form is held to.
public func columnGradientSumsReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ epilogue: EpilogueGradient<E>, _ sums: Sums
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let i = row * channels + c
      let g = Double(epilogue.pass(dy[i].float, i))
      sums[c] += g
      sums[channels + c] += g * Double((x[i].float - center[c]) - offset[c])
    }
  }
}

/// Sixteen of one row's gradients, taken into the sums.
@_alwaysEmitIntoClient @_transparent
public func addGradients(
  _ x: Vector, _ dy: Vector, _ k: Vector, _ d: Vector, _ s: inout Vector, _ p: inout Vector
) {
  s += dy
  p = fma(dy, (x - k) - d, p)
}

/// The vector form: 64 columns at a time, whose rows are contiguous in the cache's terms, then pairs of
/// sixteen.
///
/// x less its mean is about as large as its deviation, so that float32 keeps the digits of 32 rows' sums
/// before they are widened.
@_alwaysEmitIntoClient @_transparent
public func columnGradientSumsLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ epilogue: EpilogueGradient<E>, _ sums: Sums
) {
  let products = sums + channels
  var from = 0
  while from < rows {
    let to = min(rows, from + 32)
    var c = 0
    while c + 64 <= channels {
      let (k0, k1, k2, k3) = (
        load(center, c), load(center, c + 16), load(center, c + 32), load(center, c + 48)
      )
      let (d0, d1, d2, d3) = (
        load(offset, c), load(offset, c + 16), load(offset, c + 32), load(offset, c + 48)
      )
      var (s0, s1, s2, s3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      var (p0, p1, p2, p3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      var i = from * channels + c
      for _ in from..<to {
        prefetchRead(x, i)
        prefetchRead(dy, i)
        addGradients(load(x, i), epilogue.pass(load(dy, i), i), k0, d0, &s0, &p0)
        addGradients(load(x, i + 16), epilogue.pass(load(dy, i + 16), i + 16), k1, d1, &s1, &p1)
        addGradients(load(x, i + 32), epilogue.pass(load(dy, i + 32), i + 32), k2, d2, &s2, &p2)
        addGradients(load(x, i + 48), epilogue.pass(load(dy, i + 48), i + 48), k3, d3, &s3, &p3)
        i += channels
      }
      s0.add(to: sums, c)
      s1.add(to: sums, c + 16)
      s2.add(to: sums, c + 32)
      s3.add(to: sums, c + 48)
      p0.add(to: products, c)
      p1.add(to: products, c + 16)
      p2.add(to: products, c + 32)
      p3.add(to: products, c + 48)
      c += 64
    }
    while c + 16 <= channels {
      let pair = ColumnPair(c, channels)
      let (k0, k1) = (load(center, c), load(center, c + pair.column))
      let (d0, d1) = (load(offset, c), load(offset, c + pair.column))
      var (s0, p0, s1, p1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      var i = from * channels + c
      var row = from
      while row + pair.rows <= to {
        let second = i + pair.distance
        prefetchRead(x, i)
        prefetchRead(dy, i)
        addGradients(load(x, i), epilogue.pass(load(dy, i), i), k0, d0, &s0, &p0)
        addGradients(load(x, second), epilogue.pass(load(dy, second), second), k1, d1, &s1, &p1)
        i += pair.rows * channels
        row += pair.rows
      }
      if row < to { addGradients(load(x, i), epilogue.pass(load(dy, i), i), k0, d0, &s0, &p0) }
      s0.add(to: sums, c)
      s1.add(to: sums, c + pair.column)
      p0.add(to: products, c)
      p1.add(to: products, c + pair.column)
      c += 16 + pair.column
    }
    while c < channels {
      var (s, p) = (0.0, 0.0)
      for row in from..<to {
        let i = row * channels + c
        let g = Double(epilogue.pass(dy[i].float, i))
        s += g
        p += g * Double((x[i].float - center[c]) - offset[c])
      }
      sums[c] += s
      products[c] += p
      c += 1
    }
    from = to
  }
}
