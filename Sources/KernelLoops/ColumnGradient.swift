// The gradient of a column norm's input, with t = (x − K) − d and three numbers a channel:
//
//     dx = scale · dy − mean − t · slope

/// The plain form that the vector form is held to.
public func columnGradientReference(
  _ x: Input, _ dy: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ scale: Input, _ mean: Input, _ slope: Input, _ dx: Output
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let i = row * channels + c
      let t = (x[i] - center[c]) - offset[c]
      dx[i] = (-mean[c]).addingProduct(dy[i], scale[c]).addingProduct(-t, slope[c])
    }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func columnGradientLoop(
  _ x: Input, _ dy: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ scale: Input, _ mean: Input, _ slope: Input, _ dx: Output
) {
  let whole = vectorized(channels)
  let block = rowBlock(channels)
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c < whole {
      let (k, d) = (load(center, c), load(offset, c))
      let (a, m, q) = (load(scale, c), -load(mean, c), -load(slope, c))
      var i = from * channels + c
      for _ in from..<to {
        let t = (load(x, i) - k) - d
        store(fma(t, q, fma(load(dy, i), a, m)), dx, i)
        i += channels
      }
      c += 16
    }
    while c < channels {
      for row in from..<to {
        let i = row * channels + c
        let t = (x[i] - center[c]) - offset[c]
        dx[i] = (-mean[c]).addingProduct(dy[i], scale[c]).addingProduct(-t, slope[c])
      }
      c += 1
    }
    from = to
  }
}
