public import LockstepVectors

// c = factor · a · b, added to c where `accumulate`, for matrices so small that calling a library takes
// longer than the product: the heads of attention over short sequences.

/// A matrix whose rows and columns are any distance apart.
public struct Strided {
  /// The first element.
  public let start: Input
  /// How far apart rows are, in elements.
  public let row: Int
  /// How far apart columns are, in elements.
  public let column: Int

  /// Puts the three together.
  @_alwaysEmitIntoClient @_transparent
  public init(_ start: Input, row: Int, column: Int) {
    self.start = start
    self.row = row
    self.column = column
  }
}

/// The plain form that the vector form is held to; the scratch is not used.
public func smallProductReference(
  _ a: Strided, _ b: Strided, _ m: Int, _ n: Int, _ k: Int, _ factor: Float, _ accumulate: Bool,
  _ c: Output, _ stride: Int, _ scratch: Output
) {
  for i in 0..<m {
    for j in 0..<n {
      var sum = 0.0
      for l in 0..<k {
        sum +=
          Double(a.start[i * a.row + l * a.column]) * Double(b.start[l * b.row + j * b.column])
      }
      c[i * stride + j] = Float(
        Double(factor) * sum + (accumulate ? Double(c[i * stride + j]) : 0))
    }
  }
}

/// The vector form: b is packed into rows of whole vectors, k · ⌈n / 16⌉ · 16 elements of scratch.
@_alwaysEmitIntoClient @inline(__always)
public func smallProductLoop(
  _ a: Strided, _ b: Strided, _ m: Int, _ n: Int, _ k: Int, _ factor: Float, _ accumulate: Bool,
  _ c: Output, _ stride: Int, _ scratch: Output
) {
  let padded = (n + 15) & ~15
  for l in 0..<k {
    let (source, target) = (b.start + l * b.row, scratch + l * padded)
    for j in 0..<n { target[j] = factor * source[j * b.column] }
    for j in n..<padded { target[j] = 0 }
  }
  for i in 0..<m {
    var j = 0
    while j < padded {
      var sum = Vector.zero
      for l in 0..<k {
        sum = fma(
          Vector(repeating: a.start[i * a.row + l * a.column]), load(scratch, l * padded + j), sum)
      }
      let place = i * stride + j
      if j + 16 <= n {
        store(accumulate ? load(c, place) + sum : sum, c, place)
      } else {
        for lane in 0..<(n - j) {
          c[place + lane] = accumulate ? c[place + lane] + sum[lane] : sum[lane]
        }
      }
      j += 16
    }
  }
}
