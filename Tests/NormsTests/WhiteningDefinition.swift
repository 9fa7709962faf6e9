/// (S + ε · I)^(−1/2) · (x − μ) in float64, straight from the formula, by groups of neighbouring channels.
func whitened(_ x: Matrix, groups: Int, epsilon: Double) -> [Double] {
  let (rows, width) = (x.values.count / x.channels, x.channels / groups)
  var y = x.values
  for group in 0..<groups {
    let first = group * width
    func channel(_ i: Int) -> [Double] { (0..<rows).map { x.values[$0 * x.channels + first + i] } }
    let t = (0..<width).map { i in
      let values = channel(i)
      let mean = values.reduce(0, +) / Double(rows)
      return values.map { $0 - mean }
    }
    let root = inverseRoot(covariance(t, epsilon: epsilon))
    for row in 0..<rows {
      for i in 0..<width {
        y[row * x.channels + first + i] = (0..<width).reduce(0) { $0 + root[i][$1] * t[$1][row] }
      }
    }
  }
  return y
}

/// The covariance of channels without means, plus ε on its diagonal.
func covariance(_ t: [[Double]], epsilon: Double = 0) -> [[Double]] {
  t.indices.map { i in
    t.indices.map { j in
      let sum = zip(t[i], t[j]).reduce(0) { $0 + $1.0 * $1.1 }
      return sum / Double(max(t[i].count, 1)) + (i == j ? epsilon : 0)
    }
  }
}

/// A^(−1/2) by the iteration of Denman and Beavers, which knows no eigenvalues.
func inverseRoot(_ a: [[Double]]) -> [[Double]] {
  // Brought to a size near 1, from where the iteration converges at any size of A.
  let size = a.indices.reduce(0) { $0 + a[$1][$1] } / Double(a.count)
  var y = a.map { $0.map { $0 / size } }
  var z = a.indices.map { i in a.indices.map { $0 == i ? 1.0 : 0 } }
  for _ in 0..<40 {
    let (inverseY, inverseZ) = (inverse(y), inverse(z))
    y = zip(y, inverseZ).map { zip($0, $1).map { ($0 + $1) / 2 } }
    z = zip(z, inverseY).map { zip($0, $1).map { ($0 + $1) / 2 } }
  }
  return z.map { $0.map { $0 / size.squareRoot() } }
}

/// The inverse of a symmetric matrix without negative eigenvalues, by elimination.
private func inverse(_ a: [[Double]]) -> [[Double]] {
  let n = a.count
  var rows = a.indices.map { i in a[i] + a.indices.map { $0 == i ? 1.0 : 0 } }
  for column in 0..<n {
    let pivot = rows[column][column]
    rows[column] = rows[column].map { $0 / pivot }
    for other in 0..<n where other != column {
      let factor = rows[other][column]
      rows[other] = zip(rows[other], rows[column]).map { $0 - factor * $1 }
    }
  }
  return rows.map { Array($0[n...]) }
}
