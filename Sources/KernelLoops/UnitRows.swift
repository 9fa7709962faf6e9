public import LockstepVectors

// Rows scaled to one length: y = gain · x · r of each row of `width` elements, with r = 1 / max(‖x‖, ε), or 0
// where that has no value. Row i takes element i mod `gains` of the gain.
//
// `saved` `[2 · rows]` keeps every row's r, then every row's k with d r/d x = −k · x. Sums and products
// are float64: squares leave the range of float32 long before lengths do.

/// A row's r and k, from its sum of squares.
@_alwaysEmitIntoClient @_transparent
public func unitRowScale(_ squares: Double, _ epsilon: Double) -> (r: Double, k: Double) {
  let length = squares.squareRoot()
  let divisor = length > epsilon ? length : epsilon
  let r = divisor > 0 ? 1 / divisor : length == length ? 0 : length
  // Below ε the divisor is a constant.
  return (r, length >= epsilon ? r * r * r : 0)
}

/// The plain form that the vector form is held to.
public func unitRowsReference<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ width: Int, _ gain: Input, _ gains: Int, _ epsilon: Double,
  _ epilogue: Epilogue<E>, _ y: Target<E>, _ saved: Sums
) {
  for row in 0..<rows {
    let all = row * width..<(row + 1) * width
    var squares = 0.0
    for i in all { squares += Double(x[i].float) * Double(x[i].float) }
    (saved[row], saved[rows + row]) = unitRowScale(squares, epsilon)
    let scale = Double(gain[row % gains]) * saved[row]
    for i in all { y[i] = E(epilogue.result(Float(Double(x[i].float) * scale), i)) }
  }
}

/// dx = gain · (r · dy − x · k · Σ dy·x), and Σ dy · x · r added to `sums` by element of the gain.
public func unitRowsGradientReference<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ width: Int, _ gain: Input, _ gains: Int,
  _ saved: Sums, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ sums: Sums
) {
  let passed = epilogue.second(dy)
  for row in 0..<rows {
    let all = row * width..<(row + 1) * width
    var product = 0.0
    for i in all { product += Double(epilogue.pass(dy[i].float, i)) * Double(x[i].float) }
    let (r, g) = (saved[row], Double(gain[row % gains]))
    sums[row % gains] += product * r
    let (scale, slope) = (g * r, g * saved[rows + row] * product)
    for i in all {
      dx[i] = E(Float(Double(passed[i].float) * scale - Double(x[i].float) * slope))
    }
  }
}

/// The vector form of ``unitRowsReference``.
@_alwaysEmitIntoClient @inline(__always)
public func unitRowsLoop<E: KernelElement>(
  _ x: Source<E>, _ rows: Int, _ width: Int, _ gain: Input, _ gains: Int, _ epsilon: Double,
  _ epilogue: Epilogue<E>, _ y: Target<E>, _ saved: Sums
) {
  let whole = vectorized(width)
  var element = 0
  for row in 0..<rows {
    let start = row * width
    var sums = WideSums(Vector.zero)
    var i = start
    while i < start + whole {
      let wide = WideSums(load(x, i))
      sums.add(wide, times: wide)
      i += 16
    }
    var squares = sums.total
    while i < start + width {
      squares += Double(x[i].float) * Double(x[i].float)
      i += 1
    }
    let (r, k) = unitRowScale(squares, epsilon)
    (saved[row], saved[rows + row]) = (r, k)
    let scale = Double(gain[element]) * r
    element = element + 1 == gains ? 0 : element + 1
    i = start
    while i < start + whole {
      let scaled = WideSums(load(x, i)).scaled(by: scale).narrowed
      prefetchRead(x, i)
      prefetchWrite(y, i)
      store(epilogue.result(scaled, i), y, i)
      i += 16
    }
    while i < start + width {
      y[i] = E(epilogue.result(Float(Double(x[i].float) * scale), i))
      i += 1
    }
  }
}

/// The vector form of ``unitRowsGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func unitRowsGradientLoop<E: KernelElement>(
  _ x: Source<E>, _ dy: Source<E>, _ rows: Int, _ width: Int, _ gain: Input, _ gains: Int,
  _ saved: Sums, _ epilogue: EpilogueGradient<E>, _ dx: Target<E>, _ sums: Sums
) {
  let whole = vectorized(width)
  let passed = epilogue.second(dy)
  var element = 0
  for row in 0..<rows {
    let start = row * width
    var products = WideSums(Vector.zero)
    var i = start
    while i < start + whole {
      products.add(WideSums(epilogue.pass(load(dy, i), i)), times: WideSums(load(x, i)))
      i += 16
    }
    var product = products.total
    while i < start + width {
      product += Double(epilogue.pass(dy[i].float, i)) * Double(x[i].float)
      i += 1
    }
    let (r, g) = (saved[row], Double(gain[element]))
    sums[element] += product * r
    element = element + 1 == gains ? 0 : element + 1
    let (scale, slope) = (g * r, g * saved[rows + row] * product)
    i = start
    while i < start + whole {
      let change = WideSums(load(x, i)).scaled(by: slope)
      store((WideSums(load(passed, i)).scaled(by: scale) - change).narrowed, dx, i)
      i += 16
    }
    while i < start + width {
      dx[i] = E(Float(Double(passed[i].float) * scale - Double(x[i].float) * slope))
      i += 1
    }
  }
}
