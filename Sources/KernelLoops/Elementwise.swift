// Loops over two inputs and one output of `count` elements. `y` may be `a` or `b`.

/// y = a + b.
public func addReference(_ a: Input, _ b: Input, _ count: Int, _ y: Output) {
  for i in 0..<count { y[i] = a[i] + b[i] }
}

/// y = max(a, 0), NaN where a is.
public func reluReference(_ a: Input, _ count: Int, _ y: Output) {
  for i in 0..<count { y[i] = a[i] < 0 ? 0 : a[i] }
}

/// dx = dy where the activation y is above 0, else 0.
public func reluGradientReference(_ y: Input, _ dy: Input, _ count: Int, _ dx: Output) {
  for i in 0..<count { dx[i] = y[i] > 0 ? dy[i] : 0 }
}

/// y = factor · a.
public func scaleReference(_ a: Input, _ factor: Float, _ count: Int, _ y: Output) {
  for i in 0..<count { y[i] = a[i] * factor }
}

/// Σ a², in float64.
public func sumOfSquaresReference(_ a: Input, _ count: Int) -> Double {
  var sum = 0.0
  for i in 0..<count { sum += Double(a[i]) * Double(a[i]) }
  return sum
}

/// The vector form of ``addReference``.
@_alwaysEmitIntoClient @inline(__always)
public func addLoop(_ a: Input, _ b: Input, _ count: Int, _ y: Output) {
  var i = 0
  while i < vectorized(count) {
    store(load(a, i) + load(b, i), y, i)
    i += 16
  }
  while i < count {
    y[i] = a[i] + b[i]
    i += 1
  }
}

/// The vector form of ``reluReference``.
@_alwaysEmitIntoClient @inline(__always)
public func reluLoop(_ a: Input, _ count: Int, _ y: Output) {
  var i = 0
  while i < vectorized(count) {
    let v = load(a, i)
    store(v.replacing(with: Vector.zero, where: v .< Vector.zero), y, i)
    i += 16
  }
  while i < count {
    y[i] = a[i] < 0 ? 0 : a[i]
    i += 1
  }
}

/// The vector form of ``reluGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func reluGradientLoop(_ y: Input, _ dy: Input, _ count: Int, _ dx: Output) {
  var i = 0
  while i < vectorized(count) {
    store(Vector.zero.replacing(with: load(dy, i), where: load(y, i) .> Vector.zero), dx, i)
    i += 16
  }
  while i < count {
    dx[i] = y[i] > 0 ? dy[i] : 0
    i += 1
  }
}

/// The vector form of ``scaleReference``.
@_alwaysEmitIntoClient @inline(__always)
public func scaleLoop(_ a: Input, _ factor: Float, _ count: Int, _ y: Output) {
  var i = 0
  while i < vectorized(count) {
    store(load(a, i) * factor, y, i)
    i += 16
  }
  while i < count {
    y[i] = a[i] * factor
    i += 1
  }
}

/// The vector form of ``sumOfSquaresReference``.
@_alwaysEmitIntoClient @inline(__always)
public func sumOfSquaresLoop(_ a: Input, _ count: Int) -> Double {
  var (s0, s1) = (WideVector.zero, WideVector.zero)
  var i = 0
  while i < vectorized(count) {
    let v = load(a, i)
    let (w0, w1) = (widen(v.lowHalf), widen(v.highHalf))
    s0.addProduct(w0, w0)
    s1.addProduct(w1, w1)
    i += 16
  }
  let s = s0 + s1
  let four = s.lowHalf + s.highHalf
  var sum = (four[0] + four[2]) + (four[1] + four[3])
  while i < count {
    sum += Double(a[i]) * Double(a[i])
    i += 1
  }
  return sum
}
