public import LockstepVectors

// Loops over two inputs and one output of `count` elements. `y` may be `a` or `b`.

/// y = a + b.
public func addReference<E: KernelElement>(
  _ a: Source<E>, _ b: Source<E>, _ count: Int, _ y: Target<E>
) {
  for i in 0..<count { y[i] = E(a[i].float + b[i].float) }
}

/// y = a + b of b in float32, such as a row of biases.
public func addFloatsReference<E: KernelElement>(
  _ a: Source<E>, _ b: Input, _ count: Int, _ y: Target<E>
) {
  for i in 0..<count { y[i] = E(a[i].float + b[i]) }
}

/// Adds a to float32 sums.
public func accumulateReference<E: KernelElement>(_ a: Source<E>, _ count: Int, _ sums: Output) {
  for i in 0..<count { sums[i] += a[i].float }
}

/// The numbers of a as float32.
public func widenReference<E: KernelElement>(_ a: Source<E>, _ count: Int, _ y: Output) {
  for i in 0..<count { y[i] = a[i].float }
}

/// Float32 numbers, rounded.
public func narrowReference<E: KernelElement>(_ a: Input, _ count: Int, _ y: Target<E>) {
  for i in 0..<count { y[i] = E(a[i]) }
}

/// y = max(a, 0), NaN where a is.
public func reluReference<E: KernelElement>(_ a: Source<E>, _ count: Int, _ y: Target<E>) {
  for i in 0..<count { y[i] = E(a[i].float < 0 ? 0 : a[i].float) }
}

/// dx = dy where the activation y is above 0, else 0.
public func reluGradientReference<E: KernelElement>(
  _ y: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  for i in 0..<count { dx[i] = E(y[i].float > 0 ? dy[i].float : 0) }
}

/// y = factor · a.
public func scaleReference<E: KernelElement>(
  _ a: Source<E>, _ factor: Float, _ count: Int, _ y: Target<E>
) {
  for i in 0..<count { y[i] = E(a[i].float * factor) }
}

/// Σ a², in float64.
public func sumOfSquaresReference<E: KernelElement>(_ a: Source<E>, _ count: Int) -> Double {
  var sum = 0.0
  for i in 0..<count { sum += Double(a[i].float) * Double(a[i].float) }
  return sum
}

/// The vector form of ``addReference``.
@_alwaysEmitIntoClient @inline(__always)
public func addLoop<E: KernelElement>(_ a: Source<E>, _ b: Source<E>, _ count: Int, _ y: Target<E>)
{
  mapLoop(a, b, count, y) { $0 + $1 }
}

/// The vector form of ``addFloatsReference``.
@_alwaysEmitIntoClient @inline(__always)
public func addFloatsLoop<E: KernelElement>(
  _ a: Source<E>, _ b: Input, _ count: Int, _ y: Target<E>
) {
  mapLoop(a, b, count, y) { $0 + $1 }
}

/// The vector form of ``accumulateReference``.
@_alwaysEmitIntoClient @inline(__always)
public func accumulateLoop<E: KernelElement>(_ a: Source<E>, _ count: Int, _ sums: Output) {
  mapLoop(Input(sums), a, count, sums) { $0 + $1 }
}

/// The vector form of ``widenReference``.
@_alwaysEmitIntoClient @inline(__always)
public func widenLoop<E: KernelElement>(_ a: Source<E>, _ count: Int, _ y: Output) {
  mapLoop(a, count, y) { $0 }
}

/// The vector form of ``narrowReference``.
@_alwaysEmitIntoClient @inline(__always)
public func narrowLoop<E: KernelElement>(_ a: Input, _ count: Int, _ y: Target<E>) {
  mapLoop(a, count, y) { $0 }
}

/// The vector form of ``reluReference``.
@_alwaysEmitIntoClient @inline(__always)
public func reluLoop<E: KernelElement>(_ a: Source<E>, _ count: Int, _ y: Target<E>) {
  mapLoop(a, count, y) { rectified($0) }
}

/// The vector form of ``reluGradientReference``.
@_alwaysEmitIntoClient @inline(__always)
public func reluGradientLoop<E: KernelElement>(
  _ y: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>
) {
  mapLoop(y, dy, count, dx) { masked($1, by: $0) }
}

/// The vector form of ``scaleReference``.
@_alwaysEmitIntoClient @inline(__always)
public func scaleLoop<E: KernelElement>(
  _ a: Source<E>, _ factor: Float, _ count: Int, _ y: Target<E>
) {
  mapLoop(a, count, y) { $0 * factor }
}

/// The vector form of ``sumOfSquaresReference``.
@_alwaysEmitIntoClient @inline(__always)
public func sumOfSquaresLoop<E: KernelElement>(_ a: Source<E>, _ count: Int) -> Double {
  var (s0, s1) = (WideVector.zero, WideVector.zero)
  var i = 0
  while i < vectorized(count) {
    let v = load(a, i)
    let (w0, w1) = (widen(v.lowHalf), widen(v.highHalf))
    s0.addProduct(w0, w0)
    s1.addProduct(w1, w1)
    i += 16
  }
  var sum = WideSums(low: s0, high: s1).total
  while i < count {
    sum += Double(a[i].float) * Double(a[i].float)
    i += 1
  }
  return sum
}
