// Σ a · b of each row, for the backward pass of attention: D = Σ dO · O.

/// The plain form that the vector form is held to.
public func rowDotsReference(
  _ a: Input, _ aStride: Int, _ b: Input, _ bStride: Int, _ rows: Int, _ size: Int, _ sums: Output
) {
  for row in 0..<rows {
    var sum = 0.0
    for i in 0..<size { sum += Double(a[row * aStride + i]) * Double(b[row * bStride + i]) }
    sums[row] = Float(sum)
  }
}

/// The vector form.
@_alwaysEmitIntoClient @inline(__always)
public func rowDotsLoop(
  _ a: Input, _ aStride: Int, _ b: Input, _ bStride: Int, _ rows: Int, _ size: Int, _ sums: Output
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
      sum += a[i] * b[i]
      i += 1
    }
    sums[row] = sum
  }
}
