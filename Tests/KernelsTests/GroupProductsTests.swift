import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernels
import LockstepTensors
import LockstepVectors
import LockstepWhiteningKernels
import Testing

/// The float64 products by groups of channels, and the eigenvalues of symmetric matrices.
@Suite struct GroupProductsTests {
  @Test(arguments: vectorTables)
  func productsByGroupsMatchThePlainLoopsInBothPrecisions(table: KernelTable) {
    products(table.float32, reference.float32)
    products(table.bfloat16, reference.bfloat16)
  }

  private func products<E: KernelElement>(_ loops: ElementKernels<E>, _ plain: ElementKernels<E>) {
    for (count, width) in [(1, 1), (3, 2), (2, 5), (1, 8), (2, 9), (1, 16), (1, 65)] {
      for rows in [0, 1, 3, 4, 17, 150] {
        let groups = ChannelGroups(count: count, width: width)
        let channels = count * width
        let name = "[\(rows), \(count) · \(width)]"
        let a = random(rows * channels, mean: 3, seed: 1).map { E($0) }
        let b = random(rows * channels, mean: -2, seed: 2).map { E($0) }
        var (ma, mb) = (doubles(channels, 3), doubles(channels, 4))
        var (left, right) = (doubles(channels * width, 5), doubles(channels * width, 6))
        var bias = doubles(channels, 7)
        func both(_ body: (ElementKernels<E>, CenteredRows<E>, CenteredRows<E>, Sums) -> Void) {
          a.withUnsafeBufferPointer { pa in
            b.withUnsafeBufferPointer { pb in
              ma.withUnsafeMutableBufferPointer { pma in
                mb.withUnsafeMutableBufferPointer { pmb in
                  guard rows > 0 else { return }
                  let x = CenteredRows<E>(address(pa), less: address(pma))
                  let y = CenteredRows<E>(address(pb), less: address(pmb))
                  for table in [plain, loops] {
                    var scratch = [Double](repeating: .nan, count: groups.scratchCount)
                    body(table, x, y, &scratch)
                  }
                }
              }
            }
          }
        }
        var sums: [[Double]] = []
        both { table, x, y, scratch in
          var found = doubles(channels * (width + 1), 8)
          table.groupProducts(x, y, rows, groups, scratch, &found)
          sums.append(found)
        }
        if sums.count == 2 { expectClose(sums[1], sums[0], tolerance: 1e-11, "products \(name)") }
        for adds in [false, true] {
          var results: [[E]] = []
          both { table, x, y, scratch in
            var found = [E](repeating: E(.nan), count: rows * channels)
            table.groupTransform(
              x, &left, y, &right, adds, &bias, rows, groups, scratch, &found)
            results.append(found)
          }
          guard results.count == 2 else { continue }
          expectClose(
            results[1].map(\.float), results[0].map(\.float),
            tolerance: E.self == Float.self ? 1e-6 : 1.0 / 128, "transform \(name)")
        }
      }
    }
  }

  private func doubles(_ count: Int, _ seed: UInt64) -> [Double] {
    random(count, seed: seed).map(Double.init)
  }

  private static let matrices: [(String, Int, [Double])] = {
    func symmetric(_ size: Int, _ seed: UInt64, scale: (Int) -> Double = { _ in 1 }) -> [Double] {
      let a = random(size * size, seed: seed).map(Double.init)
      return (0..<size * size).map {
        let (i, j) = ($0 / size, $0 % size)
        return (a[$0] + a[j * size + i]) * scale(i) * scale(j)
      }
    }
    let vector = random(7, seed: 9).map(Double.init)
    return [
      ("one element", 1, [-3]), ("zeros", 3, Array(repeating: 0, count: 9)),
      ("the identity", 4, (0..<16).map { $0 % 5 == 0 ? 1 : 0 }),
      ("of rank one", 7, (0..<49).map { vector[$0 / 7] * vector[$0 % 7] }),
      ("degenerate", 3, [2, 1, 1, 1, 2, 1, 1, 1, 2]), ("random", 2, symmetric(2, 1)),
      ("random", 33, symmetric(33, 2)), ("large", 9, symmetric(9, 3) { _ in 1e25 }),
      ("small", 9, symmetric(9, 4) { _ in 1e-24 }),
      ("of unlike scales", 8, symmetric(8, 5) { [1e-6, 1, 1e6][$0 % 3] }),
    ]
  }()

  @Test(arguments: matrices.indices)
  func eigenvectorsAreOrthogonalAndGiveTheMatrixBack(index: Int) {
    let (name, size, a) = Self.matrices[index]
    let (values, vectors) = Kernel.symmetricEigenvalues(a, size: size)
    let largest = max(a.map(\.magnitude).max() ?? 0, .leastNormalMagnitude)
    for i in 0..<size {
      for j in 0..<size {
        let dot = (0..<size).reduce(0) { $0 + vectors[i * size + $1] * vectors[j * size + $1] }
        #expect(abs(dot - (i == j ? 1 : 0)) < 1e-13, "\(name): orthogonality of \(i) and \(j)")
        let back = (0..<size).reduce(0) {
          $0 + vectors[$1 * size + i] * values[$1] * vectors[$1 * size + j]
        }
        #expect(
          abs(back - a[i * size + j]) <= 1e-13 * Double(size) * largest, "\(name): \(i), \(j)")
      }
    }
  }

  @Test func eigenvaluesThatAreKnownAreFound() {
    let (values, _) = Kernel.symmetricEigenvalues([2, 1, 1, 1, 2, 1, 1, 1, 2], size: 3)
    expectClose(values.sorted(), [1, 1, 4], tolerance: 1e-14, "eigenvalues")
    // The eigenvalues of a chain of springs are 2 − 2 cos (k π / (n + 1)).
    let size = 50
    let chain = (0..<size * size).map { place -> Double in
      switch abs(place / size - place % size) {
      case 0: 2
      case 1: -1
      default: 0
      }
    }
    let found = Kernel.symmetricEigenvalues(chain, size: size).values.sorted()
    let step = Double.pi / Double(size + 1)
    var cosines = [1.0, cosine(step)]
    for k in 2...size { cosines.append(2 * cosines[1] * cosines[k - 1] - cosines[k - 2]) }
    expectClose(found, (1...size).map { 2 - 2 * cosines[$0] }, tolerance: 1e-12, "chain")
  }

  private func cosine(_ x: Double) -> Double {
    var (term, sum) = (1.0, 1.0)
    for k in 1..<15 {
      term *= -x * x / Double((2 * k - 1) * 2 * k)
      sum += term
    }
    return sum
  }

  @Test func aMatrixThatIsNotFiniteEndsTheSearch() {
    let (values, _) = Kernel.symmetricEigenvalues([.nan, 1, 1, 2], size: 2)
    #expect(values.contains { $0.isNaN })
  }
}
