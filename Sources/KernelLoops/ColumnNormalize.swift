public import LockstepVectors

// Normalizes the columns of `x` `[rows, channels]` with four numbers a channel:
//
//     y = ((x − K) − d) · scale + bias, and what the epilogue makes of it
//
// K is the mean as a float and d what the float leaves of it. Folding mean and scale into one
// multiply-add would lose the digits that d keeps.

/// The plain form that the vector form is held to.
public func columnNormalizeReference<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input, _ scale: Input,
  _ bias: Input, _ epilogue: Epilogue<E>, _ y: Target<E>
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let i = row * channels + c
      let value = bias[c].addingProduct((x[i].float - center[c]) - offset[c], scale[c])
      y[i] = E(epilogue.result(value, i))
    }
  }
}

/// The vector form, in memory order: the channels' numbers stay in the nearest cache.
@_alwaysEmitIntoClient @_transparent
public func columnNormalizeLoop<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input, _ scale: Input,
  _ bias: Input, _ epilogue: Epilogue<E>, _ y: Target<E>
) {
  let whole = vectorized(channels)
  var i = 0
  for _ in 0..<rows {
    var c = 0
    while c < whole {
      let t = (load(x, i) - load(center, c)) - load(offset, c)
      prefetchRead(x, i)
      prefetchWrite(y, i)
      store(epilogue.result(fma(t, load(scale, c), load(bias, c)), i), y, i)
      i += 16
      c += 16
    }
    while c < channels {
      let value = bias[c].addingProduct((x[i].float - center[c]) - offset[c], scale[c])
      y[i] = E(epilogue.result(value, i))
      i += 1
      c += 1
    }
  }
}
