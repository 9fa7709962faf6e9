import LockstepKernels

/// The matrix function f(S) = (S + ε · I)^(−1/2) of a symmetric matrix S = V · Λ · Vᵀ without negative
/// eigenvalues, and what flows back through it.
package struct InverseRoot: Sendable {
  private let size: Int
  /// Vᵀ: the eigenvectors, a row each.
  private let vectors: [Double]
  /// √(λ + ε) by eigenvector.
  private let roots: [Double]

  /// Decomposes `matrix` `[size, size]`, of which the symmetric part counts.
  package init(_ matrix: some RandomAccessCollection<Double>, size: Int, epsilon: Double) {
    let decomposed = Kernel.symmetricEigenvalues(
      Self.symmetric(Array(matrix), size), size: size)
    self.size = size
    vectors = decomposed.vectors
    // Rounding may leave an eigenvalue of 0 a little below it.
    roots = decomposed.values.map { ($0 < 0 ? epsilon : $0 + epsilon).squareRoot() }
  }

  /// V · (Λ + ε · I)^(−1/2) · Vᵀ.
  package var value: [Double] {
    var scaled = vectors
    for k in 0..<size {
      for i in 0..<size { scaled[k * size + i] /= roots[k] }
    }
    return Self.symmetric(
      Self.product(Self.transpose(vectors, size), scaled, size), size)
  }

  /// dS of a gradient dF of the function's value, by the formula of Daleckii and Krein.
  ///
  ///     dS = V · (K ∘ (Vᵀ · dF · V)) · Vᵀ,  K_ij = (f(λ_i) − f(λ_j)) / (λ_i − λ_j)
  ///
  /// With a = √(λ_i + ε) and b = √(λ_j + ε), K is −1 / (a · b · (a + b)), which is f′ where the two coincide
  /// and cancels nowhere. The symmetric part is returned.
  ///
  /// Source: Higham, Functions of Matrices, 2008, theorem 3.11 and corollary 3.12.
  package func gradient(_ gradient: [Double]) -> [Double] {
    let back = Self.transpose(vectors, size)
    var inner = Self.product(Self.product(vectors, gradient, size), back, size)
    for i in 0..<size {
      for j in 0..<size {
        let (a, b) = (roots[i], roots[j])
        inner[i * size + j] *= -1 / (a * b * (a + b))
      }
    }
    return Self.symmetric(
      Self.product(Self.product(back, inner, size), vectors, size), size)
  }

  private static func product(_ a: [Double], _ b: [Double], _ size: Int) -> [Double] {
    var c = [Double](repeating: 0, count: size * size)
    for i in 0..<size {
      for k in 0..<size {
        let factor = a[i * size + k]
        for j in 0..<size { c[i * size + j] += factor * b[k * size + j] }
      }
    }
    return c
  }

  private static func transpose(_ a: [Double], _ size: Int) -> [Double] {
    (0..<size * size).map { a[$0 % size * size + $0 / size] }
  }

  private static func symmetric(_ a: [Double], _ size: Int) -> [Double] {
    (0..<size * size).map { (a[$0] + a[$0 % size * size + $0 / size]) / 2 }
  }
}
