public import CIntrinsics
public import LockstepVectors

/// How a row's scale follows from its second moment.
public struct RowRule: Sendable, Hashable {
  /// Added to the variance (inside the root) or to its root (outside).
  public let epsilon: Float
  /// Whether ε stands outside the root: t / (√v + ε) instead of t / √(v + ε).
  public let outside: Bool
  /// Whether the second moment is divided by one less than the width.
  public let unbiased: Bool

  /// Creates a rule.
  public init(epsilon: Float, outside: Bool = false, unbiased: Bool = false) {
    self.epsilon = epsilon
    self.outside = outside
    self.unbiased = unbiased
  }

  /// What the sum of squares is divided by.
  @_alwaysEmitIntoClient @inline(__always)
  public func divisor(_ width: Int) -> Float { Float(unbiased ? max(width - 1, 1) : width) }

  /// The row's scale r, and k with d r/d t = −k·r³·t: what the backward pass needs of it.
  ///
  /// k is near 1 / n whatever the row's size, so that it has all its digits.
  @_alwaysEmitIntoClient @inline(__always)
  public func scale(sumOfSquares: Double, width: Int) -> (r: Float, k: Float) {
    let n = Double(divisor(width))
    let (v, e) = (sumOfSquares / n, Double(epsilon))
    guard outside else { return (Float(1 / (v + e).squareRoot()), Float(1 / n)) }
    let root = v.squareRoot()
    return (Float(1 / (root + e)), root > 0 ? Float((root + e) / (n * root)) : 0)
  }

  /// The scales of sixteen rows.
  @_alwaysEmitIntoClient @_transparent
  public func scale(sumsOfSquares: Vector, width: Int) -> (r: Vector, k: Vector) {
    let n = Vector(repeating: divisor(width))
    let e = Vector(repeating: epsilon)
    let v = sumsOfSquares / n
    guard outside else {
      return (Vector(repeating: 1) / square_root(v + e), Vector(repeating: 1) / n)
    }
    let root = square_root(v)
    let r = Vector(repeating: 1) / (root + e)
    let k = (root + e) / (n * root)
    return (r, Vector.zero.replacing(with: k, where: root .> Vector.zero))
  }
}

// Normalizes each row of `x` `[rows, width]`; r is the row's scale by its rule:
//
//     centred (layer norm):  t = (x − K) − d,  K + d the row's mean
//     otherwise (RMS norm):  t = x
//     y = t · r · gain + bias, and what the epilogue makes of it
//
// `saved` `[4, rows]` keeps K, d, r and k for the backward pass. Gain and bias have
// `period · width` elements, and row i takes part i mod period: a group norm of one position
// is a layer norm of each group.
//
// Rows are right as long as neither a difference of two elements nor 1 / r leaves the range of float32: up
// to some 10³⁷. Where a float32 sum leaves it before, the row is summed in float64.

/// The plain form that the vector form is held to.
public func rowNormalizeReference<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ rows: Int, _ width: Int, _ period: Int, _ gain: Input,
  _ bias: Input, _ rule: RowRule, _ epilogue: Epilogue<E>, _ y: Target<E>, _ saved: Output
) {
  for row in 0..<rows {
    let part = row % period * width
    oneRowNormalize(
      centred, x + row * width, width, gain + part, bias + part, rule,
      epilogue.advanced(by: row * width), y + row * width, saved + row, rows)
  }
}

/// One row in float64 sums; `saved` is its own place in K, and `rows` apart in d, r and k.
public func oneRowNormalize<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ width: Int, _ gain: Input, _ bias: Input, _ rule: RowRule,
  _ epilogue: Epilogue<E>, _ y: Target<E>, _ saved: Output, _ rows: Int
) {
  var mean = 0.0
  if centred {
    for i in 0..<width { mean += Double(x[i].float) }
    mean /= Double(width)
  }
  let k = Float(mean)
  let d = Float(mean - Double(k))
  var squares = 0.0
  for i in 0..<width {
    let t = Double((x[i].float - k) - d)
    squares += t * t
  }
  let scale = rule.scale(sumOfSquares: squares, width: width)
  (saved[0], saved[rows]) = (k, d)
  (saved[2 * rows], saved[3 * rows]) = (scale.r, scale.k)
  for i in 0..<width {
    let value = bias[i].addingProduct(((x[i].float - k) - d) * scale.r, gain[i])
    y[i] = E(epilogue.result(value, i))
  }
}

/// The vector form.
///
/// Rows of at most 64 elements go sixteen at a time; of longer ones, the next row is summed while
/// this one is written, so that reading and computing overlap. Lanes sum in float32 over at most 64
/// vectors before they are widened. `scratch` has 512 floats.
@_alwaysEmitIntoClient @inline(__always)
public func rowNormalizeLoop<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ rows: Int, _ width: Int, _ period: Int, _ gain: Input,
  _ bias: Input, _ rule: RowRule, _ epilogue: Epilogue<E>, _ y: Target<E>, _ saved: Output,
  _ scratch: Output
) {
  let isNarrow = width % 16 == 0 && width <= 64 && period == 1
  let narrow = isNarrow ? vectorized(rows) : 0
  var row = 0
  while row < narrow {
    let isRight = sixteenRowsNormalize(
      centred, x + row * width, width, gain, bias, rule, epilogue.advanced(by: row * width),
      y + row * width, saved + row, rows, scratch)
    if !isRight {
      for i in row..<row + 16 {
        oneRowNormalize(
          centred, x + i * width, width, gain, bias, rule, epilogue.advanced(by: i * width),
          y + i * width, saved + i, rows)
      }
    }
    row += 16
  }
  guard row < rows else { return }
  let whole = vectorized(width)
  let inverse = 1 / Double(width)
  var part = 0
  // Of the next row: Σ x where centred, else Σ x².
  var first = firstSum(centred, x + row * width, width, whole)
  while row < rows {
    let (x, y) = (x + row * width, y + row * width)
    let epilogue = epilogue.advanced(by: row * width)
    let (gain, bias) = (gain + part * width, bias + part * width)
    part = part + 1 == period ? 0 : part + 1
    // A mean that is good to a few units in the last place centres well enough for the second
    // pass to find the rest of it.
    let k: Float = centred ? Float(first * inverse) : 0
    let center = Vector(repeating: k)
    var (sum, squares) = (0.0, centred ? 0 : first)
    var i = 0
    if centred {
      while i < whole {
        let chunk = min(whole, i + 1024)
        var (s0, s1, q0, q1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
        while i + 32 <= chunk {
          let (t0, t1) = (load(x, i) - center, load(x, i + 16) - center)
          s0 += t0
          s1 += t1
          q0 = fma(t0, t0, q0)
          q1 = fma(t1, t1, q1)
          i += 32
        }
        if i < chunk {
          let t = load(x, i) - center
          s0 += t
          q0 = fma(t, t, q0)
          i += 16
        }
        sum += Double(laneSum(s0 + s1))
        squares += Double(laneSum(q0 + q1))
      }
      while i < width {
        let t = x[i].float - k
        sum += Double(t)
        squares += Double(t * t)
        i += 1
      }
    }
    let shift = sum * inverse
    let d = Float(shift)
    guard squares < .infinity else {
      oneRowNormalize(centred, x, width, gain, bias, rule, epilogue, y, saved + row, rows)
      row += 1
      first = row < rows ? firstSum(centred, x + width, width, whole) : 0
      continue
    }
    let scale = rule.scale(sumOfSquares: max(0, squares - sum * shift), width: width)
    (saved[row], saved[rows + row]) = (k, d)
    (saved[2 * rows + row], saved[3 * rows + row]) = (scale.r, scale.k)
    let (offset, r) = (Vector(repeating: d), Vector(repeating: scale.r))
    row += 1
    // The last row sums itself once more, which costs less than asking in the loop.
    let next = row < rows ? x + width : x
    first = 0
    i = 0
    while i < whole {
      let chunk = min(whole, i + 1024)
      var lanes = Vector.zero
      while i < chunk {
        let t = centred ? (load(x, i) - center) - offset : load(x, i)
        prefetchRead(next, i)
        prefetchWrite(y, i)
        store(epilogue.result(fma(t * r, load(gain, i), load(bias, i)), i), y, i)
        let v = load(next, i)
        lanes = centred ? lanes + v : fma(v, v, lanes)
        i += 16
      }
      first += Double(laneSum(lanes))
    }
    while i < width {
      let value = bias[i].addingProduct(((x[i].float - k) - d) * scale.r, gain[i])
      y[i] = E(epilogue.result(value, i))
      first += centred ? Double(next[i].float) : Double(next[i].float * next[i].float)
      i += 1
    }
  }
}

/// Σ x of a row where centred, else Σ x².
@_alwaysEmitIntoClient @_transparent
public func firstSum<E: KernelElement>(_ centred: Bool, _ x: Source<E>, _ width: Int, _ whole: Int)
  -> Double
{
  var sum = 0.0
  var i = 0
  while i < whole {
    let chunk = min(whole, i + 1024)
    var lanes = Vector.zero
    while i < chunk {
      let v = load(x, i)
      lanes = centred ? lanes + v : fma(v, v, lanes)
      i += 16
    }
    sum += Double(laneSum(lanes))
  }
  while i < width {
    sum += centred ? Double(x[i].float) : Double(x[i].float * x[i].float)
    i += 1
  }
  return sum
}

/// Sixteen short rows: their sums meet in the lanes of one vector, so that means, roots and
/// quotients are taken of all rows at once.
///
/// The mean of a row's first 16 elements stands for K, so that one sweep gives both moments. In rows of up to 64
/// it is at most √3 deviations from the row's mean, which costs the sum of squares two bits. `scratch` has 512
/// floats.
/// False, and nothing is written to y, where a sum leaves the range of float32.
@_alwaysEmitIntoClient @_transparent
public func sixteenRowsNormalize<E: KernelElement>(
  _ centred: Bool, _ x: Source<E>, _ width: Int, _ gain: Input, _ bias: Input, _ rule: RowRule,
  _ epilogue: Epilogue<E>, _ y: Target<E>, _ saved: Output, _ rows: Int, _ scratch: Output
) -> Bool {
  let scales = saved + 2 * rows
  if centred {
    for row in 0..<16 { store(load(x, row * width), scratch, 16 * row) }
    store(sixteenLaneSums(scratch) * Vector(repeating: 1 / 16), saved, 0)
  } else {
    store(Vector.zero, saved, 0)
  }
  for row in 0..<16 {
    let center = Vector(repeating: saved[row])
    var (lanes, squares) = (Vector.zero, Vector.zero)
    var i = row * width
    while i < (row + 1) * width {
      prefetchRead(x, i)
      let t = centred ? load(x, i) - center : load(x, i)
      if centred { lanes += t }
      squares = fma(t, t, squares)
      i += 16
    }
    if centred { store(lanes, scratch, 16 * row) }
    store(squares, scratch, 256 + 16 * row)
  }
  let sums = centred ? sixteenLaneSums(scratch) : Vector.zero
  let d = sums * Vector(repeating: 1 / Float(width))
  let rest = sixteenLaneSums(scratch + 256) - sums * d
  // What is not finite is no number in the sum.
  guard laneSum(rest * Vector.zero) == 0 else { return false }
  let scale = rule.scale(
    sumsOfSquares: Vector.zero.replacing(with: rest, where: rest .> Vector.zero), width: width)
  store(d, saved + rows, 0)
  store(scale.r, scales, 0)
  store(scale.k, saved + 3 * rows, 0)
  // d · r in the place of d: one multiply-add instead of a difference and a product.
  store(-d * scale.r, scratch, 0)
  for row in 0..<16 {
    let (center, offset) = (Vector(repeating: saved[row]), Vector(repeating: scratch[row]))
    let r = Vector(repeating: scales[row])
    var c = 0
    var i = row * width
    while c < width {
      let u = centred ? fma(load(x, i) - center, r, offset) : load(x, i) * r
      prefetchWrite(y, i)
      store(epilogue.result(fma(u, load(gain, c), load(bias, c)), i), y, i)
      c += 16
      i += 16
    }
  }
  return true
}
