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

/// The numbers of sixteen channels.
@usableFromInline
struct ColumnSlopes {
  @usableFromInline let center, offset, inverse, scale, mean, slope: Vector

  @_alwaysEmitIntoClient @_transparent
  init(
    _ center: Input, _ offset: Input, _ inverse: Input, _ scale: Input, _ mean: Input,
    _ slope: Input, _ c: Int
  ) {
    (self.center, self.offset, self.inverse) = (load(center, c), load(offset, c), load(inverse, c))
    (self.scale, self.mean, self.slope) = (load(scale, c), load(mean, c), load(slope, c))
  }

  @_alwaysEmitIntoClient @_transparent
  func dx(_ x: Vector, _ dy: Vector) -> Vector {
    fma(-(((x - center) - offset) * inverse), slope, fma(dy, scale, -mean))
  }
}

/// The vector form, in memory order.
///
/// The numbers of 16 or 32 channels stay in registers, those of others in the nearest cache.
@_alwaysEmitIntoClient @_transparent
public func columnGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input,
  _ inverse: Input, _ scale: Input, _ mean: Input, _ slope: Input, _ dx: Target<E>
) {
  var i = 0
  if channels == 16 || channels == 32 {
    let first = ColumnSlopes(center, offset, inverse, scale, mean, slope, 0)
    let second = ColumnSlopes(center, offset, inverse, scale, mean, slope, channels - 16)
    while i + 32 <= rows * channels {
      let next = i + 16
      prefetchRead(x, i)
      prefetchRead(dy, i)
      prefetchWrite(dx, i)
      store(first.dx(load(x, i), load(dy, i)), dx, i)
      prefetchRead(x, next)
      prefetchRead(dy, next)
      prefetchWrite(dx, next)
      store(second.dx(load(x, next), load(dy, next)), dx, next)
      i += 32
    }
  }
  for _ in i / max(channels, 1)..<rows {
    var c = 0
    while c + 16 <= channels {
      prefetchRead(x, i)
      prefetchRead(dy, i)
      prefetchWrite(dx, i)
      let columns = ColumnSlopes(center, offset, inverse, scale, mean, slope, c)
      store(columns.dx(load(x, i), load(dy, i)), dx, i)
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
