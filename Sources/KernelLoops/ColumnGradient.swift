public import LockstepVectors

// The gradient of a column norm's input, with u = ((x − K) − d) · r and three more numbers a channel:
//
//     dx = scale · dy − mean − u · slope
//
// u is near 1 whatever the channel's deviation 1 / r, so that no product leaves the range of float32.

/// The plain form that the vector form is held to.
public func columnGradientReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ inverse: Input, _ scale: Input, _ mean: Input, _ slope: Input, _ dx: Target<E>
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let i = row * channels + c
      let u = ((x[i].float - center[c]) - offset[c]) * inverse[c]
      dx[i] = E((-mean[c]).addingProduct(dy[i].float, scale[c]).addingProduct(-u, slope[c]))
    }
  }
}

/// The vector form, in memory order: the channels' numbers stay in the nearest cache.
@_alwaysEmitIntoClient @_transparent
public func columnGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ inverse: Input, _ scale: Input, _ mean: Input, _ slope: Input, _ dx: Target<E>
) {
  let whole = vectorized(channels)
  var i = 0
  for _ in 0..<rows {
    var c = 0
    while c < whole {
      let u = ((load(x, i) - load(center, c)) - load(offset, c)) * load(inverse, c)
      let shifted = fma(load(dy, i), load(scale, c), -load(mean, c))
      prefetchRead(x, i)
      prefetchRead(dy, i)
      prefetchWrite(dx, i)
      store(fma(-u, load(slope, c), shifted), dx, i)
      i += 16
      c += 16
    }
    while c < channels {
      let u = ((x[i].float - center[c]) - offset[c]) * inverse[c]
      dx[i] = E((-mean[c]).addingProduct(dy[i].float, scale[c]).addingProduct(-u, slope[c]))
      i += 1
      c += 1
    }
  }
}
