import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernels
import LockstepTensors
import Testing

@Suite struct MatrixProductTests {
  private static let sizes = [
    (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (3, 5, 7), (4, 32, 16), (5, 33, 17), (9, 70, 300),
    (66, 31, 513),
  ]

  @Test(arguments: vectorTables, sizes)
  func theLoopMatchesThePlainOne(table: KernelTable, size: (Int, Int, Int)) {
    let (m, n, k) = size
    let (a, b) = (random(m * k, seed: 1), random(k * n, seed: 2))
    for accumulate in [false, true] {
      var found = random(m * n, seed: 3) + room(0)
      var expected = found
      table.matrixProduct(a, b, m, n, k, accumulate, &found)
      reference.matrixProduct(a, b, m, n, k, accumulate, &expected)
      expectClose(found, expected, tolerance: 5e-5, "\(size), accumulating: \(accumulate)")
    }
  }

  /// The product by oneDNN, where it is used, or by the loops.
  @Test(arguments: sizes)
  func everyTranspositionIsTheSameProduct(size: (Int, Int, Int)) {
    let (m, n, k) = size
    let (a, b) = (random(m * k, seed: 1), random(k * n, seed: 2))
    func transposed(_ x: [Float], _ rows: Int, _ columns: Int) -> [Float] {
      (0..<x.count).map { x[$0 % rows * columns + $0 / rows] }
    }
    let lefts: [Operand] = [
      Operand(Tensor(a, shape: [m, k])), .transpose(Tensor(transposed(a, m, k), shape: [k, m])),
    ]
    let rights: [Operand] = [
      Operand(Tensor(b, shape: [k, n])), .transpose(Tensor(transposed(b, k, n), shape: [n, k])),
    ]
    for accumulating in [false, true] {
      let before = random(m * n, seed: 3)
      var expected = before
      reference.matrixProduct(a, b, m, n, k, accumulating, &expected)
      for left in lefts {
        for right in rights {
          let c = Tensor(before, shape: [m, n])
          Kernel.matrixProduct(left, right, into: c, accumulating: accumulating)
          expectClose(
            c.elements, expected, tolerance: 5e-5,
            "\(size), transposed: \(left.transposed), \(right.transposed)")
        }
      }
    }
  }
}
