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

/// The vector form, in memory order: the channels' numbers stay in the nearest cache.
@_alwaysEmitIntoClient @inline(__always)
public func columnGradientLoop(
  _ x: Input, _ dy: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ scale: Input, _ mean: Input, _ slope: Input, _ dx: Output
) {
  let whole = vectorized(channels)
  var i = 0
  for _ in 0..<rows {
    var c = 0
    while c < whole {
      let t = (load(x, i) - load(center, c)) - load(offset, c)
      let shifted = fma(load(dy, i), load(scale, c), -load(mean, c))
      prefetchRead(x, i)
      prefetchRead(dy, i)
      prefetchWrite(dx, i)
      store(fma(-t, load(slope, c), shifted), dx, i)
      i += 16
      c += 16
    }
    while c < channels {
      let t = (x[i] - center[c]) - offset[c]
      dx[i] = (-mean[c]).addingProduct(dy[i], scale[c]).addingProduct(-t, slope[c])
      i += 1
      c += 1
    }
  }
}
