public import LockstepVectors

// Rows that lie any distance apart, for attention: a head's columns of a tensor that holds all heads'.
//
// Σ a · b of each row, for the backward pass: D = Σ dO · O.

/// The plain form that the vector form is held to.
public func rowDotsReference<E: KernelElement>(
  _ a: Source<E>, _ aStride: Int, _ b: Source<E>, _ bStride: Int, _ rows: Int, _ size: Int,
  _ sums: Output
) {
  for row in 0..<rows {
    var sum = 0.0
    for i in 0..<size {
      sum += Double(a[row * aStride + i].float) * Double(b[row * bStride + i].float)
    }
    sums[row] = Float(sum)
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func rowDotsLoop<E: KernelElement>(
  _ a: Source<E>, _ aStride: Int, _ b: Source<E>, _ bStride: Int, _ rows: Int, _ size: Int,
  _ sums: Output
) {
  for row in 0..<rows {
    let (a, b) = (a + row * aStride, b + row * bStride)
    var lanes = Vector.zero
    var i = 0
    while i < vectorized(size) {
      lanes = fma(load(a, i), load(b, i), lanes)
      i += 16
    }
    var sum = laneSum(lanes)
    while i < size {
      sum += a[i].float * b[i].float
      i += 1
    }
    sums[row] = sum
  }
}

// Rows in float32 times a factor of each, rounded to where they belong.

/// The plain form that the vector form is held to.
public func narrowRowsReference<E: KernelElement>(
  _ a: Input, _ factors: Input, _ rows: Int, _ size: Int, _ y: Target<E>, _ stride: Int
) {
  for row in 0..<rows {
    for i in 0..<size { y[row * stride + i] = E(a[row * size + i] * factors[row]) }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func narrowRowsLoop<E: KernelElement>(
  _ a: Input, _ factors: Input, _ rows: Int, _ size: Int, _ y: Target<E>, _ stride: Int
) {
  for row in 0..<rows {
    mapLoop(a + row * size, size, y + row * stride) { $0 * factors[row] }
  }
}

// The other way: rows as float32, close together.

/// The plain form that the vector form is held to.
public func widenRowsReference<E: KernelElement>(
  _ a: Source<E>, _ stride: Int, _ rows: Int, _ size: Int, _ y: Output
) {
  for row in 0..<rows {
    for i in 0..<size { y[row * size + i] = a[row * stride + i].float }
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func widenRowsLoop<E: KernelElement>(
  _ a: Source<E>, _ stride: Int, _ rows: Int, _ size: Int, _ y: Output
) {
  for row in 0..<rows { mapLoop(a + row * stride, size, y + row * size) { $0 } }
}
