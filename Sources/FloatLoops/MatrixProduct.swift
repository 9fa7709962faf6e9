public import LockstepVectors

// c `[m, n]` = a `[m, k]` · b `[k, n]`, added to c where `accumulate`: for builds without
// oneDNN. All row-major and packed.

/// The plain form that the vector form is held to.
public func matrixProductReference(
  _ a: Input, _ b: Input, _ m: Int, _ n: Int, _ k: Int, _ accumulate: Bool, _ c: Output
) {
  for i in 0..<m {
    for j in 0..<n {
      var sum = accumulate ? Double(c[i * n + j]) : 0
      for l in 0..<k { sum += Double(a[i * k + l]) * Double(b[l * n + j]) }
      c[i * n + j] = Float(sum)
    }
  }
}

/// The vector form: tiles of 4 × 32 in registers.
@_alwaysEmitIntoClient @inline(__always)
public func matrixProductLoop(
  _ a: Input, _ b: Input, _ m: Int, _ n: Int, _ k: Int, _ accumulate: Bool, _ c: Output
) {
  if !accumulate { c.update(repeating: 0, count: m * n) }
  let wholeColumns = n & ~31
  let wholeRows = m & ~3
  // A panel of b that stays in the cache while all rows of a pass over it.
  let depth = 256
  var l0 = 0
  while l0 < k {
    let l1 = min(k, l0 + depth)
    var j = 0
    while j < wholeColumns {
      var i = 0
      while i < wholeRows {
        var (c00, c01) = (load(c, i * n + j), load(c, i * n + j + 16))
        var (c10, c11) = (load(c, (i + 1) * n + j), load(c, (i + 1) * n + j + 16))
        var (c20, c21) = (load(c, (i + 2) * n + j), load(c, (i + 2) * n + j + 16))
        var (c30, c31) = (load(c, (i + 3) * n + j), load(c, (i + 3) * n + j + 16))
        for l in l0..<l1 {
          let (b0, b1) = (load(b, l * n + j), load(b, l * n + j + 16))
          let a0 = Vector(repeating: a[i * k + l])
          let a1 = Vector(repeating: a[(i + 1) * k + l])
          let a2 = Vector(repeating: a[(i + 2) * k + l])
          let a3 = Vector(repeating: a[(i + 3) * k + l])
          c00 = fma(a0, b0, c00)
          c01 = fma(a0, b1, c01)
          c10 = fma(a1, b0, c10)
          c11 = fma(a1, b1, c11)
          c20 = fma(a2, b0, c20)
          c21 = fma(a2, b1, c21)
          c30 = fma(a3, b0, c30)
          c31 = fma(a3, b1, c31)
        }
        store(c00, c, i * n + j)
        store(c01, c, i * n + j + 16)
        store(c10, c, (i + 1) * n + j)
        store(c11, c, (i + 1) * n + j + 16)
        store(c20, c, (i + 2) * n + j)
        store(c21, c, (i + 2) * n + j + 16)
        store(c30, c, (i + 3) * n + j)
        store(c31, c, (i + 3) * n + j + 16)
        i += 4
      }
      while i < m {
        var (c0, c1) = (load(c, i * n + j), load(c, i * n + j + 16))
        for l in l0..<l1 {
          let v = Vector(repeating: a[i * k + l])
          c0 = fma(v, load(b, l * n + j), c0)
          c1 = fma(v, load(b, l * n + j + 16), c1)
        }
        store(c0, c, i * n + j)
        store(c1, c, i * n + j + 16)
        i += 1
      }
      j += 32
    }
    if j < n {
      for i in 0..<m {
        for l in l0..<l1 {
          let v = a[i * k + l]
          for column in j..<n { c[i * n + column].addProduct(v, b[l * n + column]) }
        }
      }
    }
    l0 = l1
  }
}
