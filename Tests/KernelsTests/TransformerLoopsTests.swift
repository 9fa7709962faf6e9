import Glibc
import LockstepFloatLoops
import LockstepKernelLoops
import LockstepKernels
import Testing

/// The vector forms of a transformer's loops agree with their references on every instruction set.
@Suite struct TransformerLoopsTests {
  private static let tables = Kernel.available.dropFirst()

  private func numbers(_ count: Int, _ seed: Int, _ scale: Float = 3) -> [Float] {
    (0..<count).map { Float(($0 * 7919 + seed * 104_729) % 2003) / 1001.5 * scale - scale }
  }

  private func expectNear(_ a: [Float], _ b: [Float], _ what: String, _ tolerance: Float = 2e-6) {
    for (i, (x, y)) in zip(a, b).enumerated() {
      #expect(abs(x - y) <= tolerance * max(1, abs(y)), "\(what) \(i): \(x), expected \(y)")
    }
  }

  @Test(arguments: [0, 1, 15, 16, 37, 128]) func activations(count: Int) {
    let (a, b, g) = (numbers(count, 1), numbers(count, 2), numbers(count, 3))
    func run(_ table: KernelTable) -> [[Float]] {
      var results = [[Float]](repeating: [Float](repeating: 9, count: count), count: 7)
      table.float32.geluTanh(a, count, &results[0])
      table.float32.geluTanhGradient(a, g, count, &results[1])
      table.float32.swiGLU(a, b, count, &results[2])
      var (da, db) = (results[3], results[4])
      table.float32.swiGLUGradient(a, b, g, count, &da, &db)
      (results[3], results[4]) = (da, db)
      table.float32.sigmoid(a, count, &results[5])
      table.float32.sigmoidGradient(results[5], g, count, &results[6])
      return results
    }
    let expected = run(KernelTable())
    for table in Self.tables {
      for (i, result) in run(table).enumerated() {
        expectNear(result, expected[i], table.name, 4e-6)
      }
    }
  }

  @Test(
    arguments: [(1, 16, 1), (5, 32, 20), (16, 16, 1), (7, 48, 100), (3, 32, 1)], [Float(0), 2])
  func attentionTiles(size: (Int, Int, Int), cap: Float) {
    let (rows, columns, visible) = size
    let (scores, incoming) = (numbers(rows * columns, 4), numbers(rows * columns, 5))
    let (before, dots) = (numbers(rows, 6, 2), numbers(rows, 7))
    func run(_ table: KernelTable) -> [[Float]] {
      var (s, largest, sums) = (scores, before, [Float](repeating: 1.5, count: rows))
      var factors = [Float](repeating: 0, count: rows)
      table.attentionTile(&s, rows, columns, visible, 1, cap, &largest, &sums, &factors)
      let logs = (0..<rows).map { largest[$0] + 1 }
      var (t, g) = (scores, incoming)
      table.attentionTileGradient(&t, &g, rows, columns, visible, 1, cap, logs, dots)
      return [s, largest, sums, factors, t, g]
    }
    let expected = run(KernelTable())
    for table in Self.tables {
      for (i, result) in run(table).enumerated() {
        expectNear(result, expected[i], table.name, 1e-5)
      }
    }
  }

  @Test(
    arguments: [(1, 1, 1), (3, 16, 5), (10, 13, 16), (13, 16, 13), (2, 40, 7)],
    [(false, false), (false, true), (true, false), (true, true)])
  func smallProducts(size: (Int, Int, Int), how: (transposed: Bool, accumulate: Bool)) {
    let (transposed, accumulate) = how
    let (m, n, k) = size
    let (a, b, before) = (numbers(m * k, 8), numbers(k * n, 9), numbers(m * (n + 3), 10))
    func run(_ table: KernelTable) -> [Float] {
      var c = before
      var scratch = [Float](repeating: .nan, count: k * (n + 16))
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          let left = Strided(
            a.baseAddress!, row: transposed ? 1 : k, column: transposed ? m : 1)
          let right = Strided(
            b.baseAddress!, row: transposed ? 1 : n, column: transposed ? k : 1)
          table.smallProduct(left, right, m, n, k, 0.5, accumulate, &c, n + 3, &scratch)
        }
      }
      return c
    }
    let expected = run(KernelTable())
    for table in Self.tables { expectNear(run(table), expected, table.name, 1e-5) }
  }

  /// A cap far above the scores changes them by next to nothing: s − s³ / 3c².
  @Test(arguments: [KernelTable()] + tables, [20, 1e3, 1e6] as [Float])
  func aSoftCapKeepsTheDigitsOfSmallScores(table: KernelTable, cap: Float) {
    let scores = numbers(64, 5)
    var (s, largest, sums, factors) = (
      scores, [-Float.greatestFiniteMagnitude], [Float(0)], [Float(0)]
    )
    table.attentionTile(&s, 1, 64, 64, 1, cap, &largest, &sums, &factors)
    let capped = scores.map { Double(cap) * tanh(Double($0) / Double(cap)) }
    let top = capped.max() ?? 0
    #expect(abs(Double(largest[0]) - top) <= 1e-6 * abs(top), "\(largest[0]), not \(top)")
    for (found, score) in zip(s, capped) {
      #expect(abs(Double(found) - exp(score - top)) < 2e-6, "\(found), not \(exp(score - top))")
    }
    // The slope of the cap, 1 − tanh².
    var (weights, gradients) = (scores, [Float](repeating: 1, count: 64))
    table.attentionTileGradient(&weights, &gradients, 1, 64, 64, 1, cap, [0], [0])
    for (found, score) in zip(gradients, scores) {
      let t = tanh(Double(score) / Double(cap))
      let expected = exp(Double(cap) * t) * (1 - t * t)
      #expect(abs(Double(found) - expected) < 4e-6 * expected, "\(found), not \(expected)")
    }
  }
}
