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

  /// The row's scale r, and k with d r/d t = −k·t/r: what the backward pass needs of it.
  @_alwaysEmitIntoClient @inline(__always)
  public func scale(sumOfSquares: Float, width: Int) -> (r: Float, k: Float) {
    let n = divisor(width)
    let v = sumOfSquares / n
    guard outside else {
      let r = 1 / (v + epsilon).squareRoot()
      return (r, r * r * r / n)
    }
    let root = v.squareRoot()
    let r = 1 / (root + epsilon)
    return (r, root > 0 ? r * r / (n * root) : 0)
  }
}

// Normalizes each row of `x` `[rows, width]`; r is the row's scale by its rule:
//
//     centred (layer norm):  t = (x − K) − d,  K + d the row's mean
//     otherwise (RMS norm):  t = x
//     y = t · r · gain + bias
//
// `saved` `[rows, 4]` keeps K, d, r and k for the backward pass. Gain and bias have
// `period · width` elements, and row i takes part i mod period: a group norm of one position
// is a layer norm of each group.

/// The plain form that the vector form is held to.
public func rowNormalizeReference(
  _ centred: Bool, _ x: Input, _ rows: Int, _ width: Int, _ period: Int, _ gain: Input,
  _ bias: Input, _ rule: RowRule, _ y: Output, _ saved: Output
) {
  for row in 0..<rows {
    let (x, y, saved) = (x + row * width, y + row * width, saved + 4 * row)
    let (gain, bias) = (gain + row % period * width, bias + row % period * width)
    var mean = 0.0
    if centred {
      for i in 0..<width { mean += Double(x[i]) }
      mean /= Double(width)
    }
    let k = Float(mean)
    let d = Float(mean - Double(k))
    var squares = 0.0
    for i in 0..<width {
      let t = Double((x[i] - k) - d)
      squares += t * t
    }
    let scale = rule.scale(sumOfSquares: Float(squares), width: width)
    (saved[0], saved[1], saved[2], saved[3]) = (k, d, scale.r, scale.k)
    for i in 0..<width { y[i] = bias[i].addingProduct(((x[i] - k) - d) * scale.r, gain[i]) }
  }
}

/// The vector form. Lanes sum in float32 over at most 64 vectors before they are widened.
@_alwaysEmitIntoClient @inline(__always)
public func rowNormalizeLoop(
  _ centred: Bool, _ x: Input, _ rows: Int, _ width: Int, _ period: Int, _ gain: Input,
  _ bias: Input, _ rule: RowRule, _ y: Output, _ saved: Output
) {
  let whole = vectorized(width)
  let inverse = 1 / Double(width)
  var part = 0
  for row in 0..<rows {
    let (x, y, saved) = (x + row * width, y + row * width, saved + 4 * row)
    let (gain, bias) = (gain + part * width, bias + part * width)
    part = part + 1 == period ? 0 : part + 1
    var k: Float = 0
    if centred {
      // A mean that is good to a few units in the last place centres well enough for the
      // second pass to find the rest of it.
      var (s0, s1) = (Vector.zero, Vector.zero)
      var i = 0
      while i + 32 <= whole {
        s0 += load(x, i)
        s1 += load(x, i + 16)
        i += 32
      }
      if i < whole {
        s0 += load(x, i)
        i += 16
      }
      var s = laneSum(s0 + s1)
      while i < width {
        s += x[i]
        i += 1
      }
      k = Float(Double(s) * inverse)
    }
    let center = Vector(repeating: k)
    var (sum, squares) = (0.0, 0.0)
    var i = 0
    while i < whole {
      let chunk = min(whole, i + 1024)
      var (s0, s1, q0, q1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      while i + 32 <= chunk {
        let (t0, t1) = (load(x, i) - center, load(x, i + 16) - center)
        if centred {
          s0 += t0
          s1 += t1
        }
        q0 = fma(t0, t0, q0)
        q1 = fma(t1, t1, q1)
        i += 32
      }
      if i < chunk {
        let t = load(x, i) - center
        if centred { s0 += t }
        q0 = fma(t, t, q0)
        i += 16
      }
      if centred { sum += Double(laneSum(s0 + s1)) }
      squares += Double(laneSum(q0 + q1))
    }
    while i < width {
      let t = x[i] - k
      if centred { sum += Double(t) }
      squares += Double(t * t)
      i += 1
    }
    let shift = sum * inverse
    let d = Float(shift)
    let scale = rule.scale(
      sumOfSquares: Float(max(0, squares - sum * shift)), width: width)
    (saved[0], saved[1], saved[2], saved[3]) = (k, d, scale.r, scale.k)
    let (offset, r) = (Vector(repeating: d), Vector(repeating: scale.r))
    i = 0
    while i < whole {
      let t = centred ? (load(x, i) - center) - offset : load(x, i)
      store(fma(t * r, load(gain, i), load(bias, i)), y, i)
      i += 16
    }
    while i < width {
      y[i] = bias[i].addingProduct(((x[i] - k) - d) * scale.r, gain[i])
      i += 1
    }
  }
}
