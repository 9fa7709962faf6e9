public import LockstepVectors

// A = V · Λ · Vᵀ of a symmetric matrix by Jacobi's method, in float64. Each rotation makes one element off
// the diagonal 0; what is left off it shrinks with every sweep, at last quadratically. Source: Golub & Van
// Loan, Matrix Computations, 4th edition, section 8.5, algorithms 8.5.1 and 8.5.3.
//
// It is compiled once and not for each instruction set, so that ranks on unlike processors get the same bits.

/// Turns `a` `[size, size]`, symmetric, into the diagonal matrix of its eigenvalues, and fills `vectors`
/// with the eigenvectors, a row each, in the eigenvalues' order, which is not sorted.
///
/// An element is left alone once it is below rounding beside the two of the diagonal that it belongs to, so
/// that small eigenvalues of a matrix of unlike scales keep their digits.
public func jacobiEigenvalues(_ a: Sums, _ size: Int, _ vectors: Sums) {
  for i in 0..<size {
    for j in 0..<size { vectors[i * size + j] = i == j ? 1 : 0 }
  }
  // Six to ten sweeps are usual; the limit is for what is not finite.
  for _ in 0..<60 {
    var rotated = false
    for p in 0..<size where rotateWithLaterRows(p, a, size, vectors) { rotated = true }
    guard rotated else { return }
  }
}

/// Makes row p's elements right of the diagonal 0, one after the other, and returns whether any was not.
///
/// Rows are rotated at once. Their columns follow by symmetry, those of a row just before the row is used and all
/// others at the end: writing a column touches as many cache lines as it has elements.
private func rotateWithLaterRows(_ p: Int, _ a: Sums, _ size: Int, _ vectors: Sums) -> Bool {
  let row = a + p * size
  var rotated = false
  for q in p + 1..<max(size, p + 1) {
    let other = a + q * size
    if rotated {
      other[p] = row[q]
      for k in p + 1..<q { other[k] = a[k * size + q] }
    }
    let (app, aqq, apq) = (row[p], other[q], row[q])
    let negligible = Double.ulpOfOne * app.magnitude.squareRoot() * aqq.magnitude.squareRoot()
    guard apq.magnitude > negligible else { continue }
    rotated = true
    let half = (aqq - app) / (2 * apq)
    let t = (half >= 0 ? 1 : -1) / (half.magnitude + (1 + half * half).squareRoot())
    let c = 1 / (1 + t * t).squareRoot()
    rotate(row, other, size, c, t * c)
    rotate(vectors + p * size, vectors + q * size, size, c, t * c)
    row[p] = app - t * apq
    other[q] = aqq + t * apq
    row[q] = 0
    other[p] = 0
  }
  guard rotated else { return false }
  // In blocks, whose lines stay in the cache.
  for i in stride(from: p + 1, to: size, by: 8) {
    for j in stride(from: 0, to: min(i + 8, size), by: 8) {
      for k in j..<min(j + 8, size) where k != p {
        for q in max(i, k + 1)..<max(i, k + 1, min(i + 8, size)) {
          a[k * size + q] = a[q * size + k]
        }
      }
    }
  }
  for k in 0..<size { a[k * size + p] = row[k] }
  return true
}

/// p ← c · p − s · q and q ← s · p + c · q, element by element.
@_transparent
private func rotate(_ p: Sums, _ q: Sums, _ count: Int, _ c: Double, _ s: Double) {
  for k in 0..<count {
    let (x, y) = (p[k], q[k])
    p[k] = c * x - s * y
    q[k] = s * x + c * y
  }
}
