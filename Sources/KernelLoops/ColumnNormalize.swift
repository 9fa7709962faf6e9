// Normalizes the columns of `x` `[rows, channels]` with four numbers a channel:
//
//     y = ((x − K) − d) · scale + bias
//
// K is the mean as a float and d what the float leaves of it. Folding mean and scale into one
// multiply-add would lose the digits that d keeps.

/// The plain form that the vector form is held to.
public func columnNormalizeReference(
  _ x: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input, _ scale: Input,
  _ bias: Input, _ y: Output
) {
  for row in 0..<rows {
    for c in 0..<channels {
      let i = row * channels + c
      y[i] = bias[c].addingProduct((x[i] - center[c]) - offset[c], scale[c])
    }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func columnNormalizeLoop(
  _ x: Input, _ rows: Int, _ channels: Int, _ center: Input, _ offset: Input, _ scale: Input,
  _ bias: Input, _ y: Output
) {
  let whole = vectorized(channels)
  let block = rowBlock(channels)
  var from = 0
  while from < rows {
    let to = min(rows, from + block)
    var c = 0
    while c < whole {
      let (k, d, a, b) = (load(center, c), load(offset, c), load(scale, c), load(bias, c))
      var i = from * channels + c
      for _ in from..<to {
        store(fma((load(x, i) - k) - d, a, b), y, i)
        i += channels
      }
      c += 16
    }
    while c < channels {
      for row in from..<to {
        let i = row * channels + c
        y[i] = bias[c].addingProduct((x[i] - center[c]) - offset[c], scale[c])
      }
      c += 1
    }
    from = to
  }
}
