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

/// The numbers of sixteen channels.
@usableFromInline
struct ColumnScales {
  @usableFromInline let center, offset, scale, bias: Vector

  @_alwaysEmitIntoClient @_transparent
  init(_ center: Input, _ offset: Input, _ scale: Input, _ bias: Input, _ c: Int) {
    (self.center, self.offset) = (load(center, c), load(offset, c))
    (self.scale, self.bias) = (load(scale, c), load(bias, c))
  }

  @_alwaysEmitIntoClient @_transparent
  func y(_ x: Vector) -> Vector { fma((x - center) - offset, scale, bias) }
}

/// The vector form, in memory order.
///
/// The numbers of 16 or 32 channels stay in registers, those of others in the nearest cache.
@_alwaysEmitIntoClient @_transparent
public func columnNormalizeLoop<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input, _ scale: Input,
  _ bias: Input, _ epilogue: Epilogue<E>, _ y: Target<E>
) {
  var i = 0
  if channels == 16 || channels == 32 {
    let first = ColumnScales(center, offset, scale, bias, 0)
    let second = ColumnScales(center, offset, scale, bias, channels - 16)
    while i + 32 <= rows * channels {
      let next = i + 16
      prefetchRead(x, i)
      prefetchWrite(y, i)
      store(epilogue.result(first.y(load(x, i)), i), y, i)
      prefetchRead(x, next)
      prefetchWrite(y, next)
      store(epilogue.result(second.y(load(x, next)), next), y, next)
      i += 32
    }
  }
  for _ in i / max(channels, 1)..<rows {
    var c = 0
    while c + 16 <= channels {
      prefetchRead(x, i)
      prefetchWrite(y, i)
      let columns = ColumnScales(center, offset, scale, bias, c)
      store(epilogue.result(columns.y(load(x, i)), i), y, i)
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
