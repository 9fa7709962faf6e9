import Foundation
import LockstepFloatLoops
import LockstepKernelLoops
import Testing

/// The loops over elements, of every instruction set.
@Suite struct ElementwiseLoopsTests {
  @Test(arguments: vectorTables)
  func addScaleAndReluGiveTheSameBitsAsThePlainLoops(table: KernelTable) {
    for count in awkwardCounts {
      let (a, b) = (random(count, seed: 1), random(count, seed: 2))
      func both(_ body: (KernelTable, inout [Float]) -> Void, _ what: String) {
        var (found, expected) = (room(count), room(count))
        body(table, &found)
        body(reference, &expected)
        #expect(found == expected, "\(what) of \(count)")
      }
      both({ $0.float32.add(a, b, count, &$1) }, "add")
      both({ $0.float32.scale(a, 0.3, count, &$1) }, "scale")
      both({ $0.float32.relu(a, count, &$1) }, "relu")
      both({ $0.float32.reluGradient(a, b, count, &$1) }, "relu's gradient")
    }
  }

  @Test(arguments: [reference] + vectorTables)
  func reluPassesNotANumberOn(table: KernelTable) {
    for count in [16, 17] {
      var y = room(count)
      table.float32.relu([Float](repeating: .nan, count: count), count, &y)
      #expect(y[..<count].allSatisfy { $0.isNaN }, "a NaN must reach the loss")
    }
  }

  @Test(arguments: vectorTables)
  func sumsOfSquaresKeepAllDigits(table: KernelTable) {
    for count in awkwardCounts {
      let a = random(count, mean: 1e4, seed: 1)
      expectClose(
        [table.float32.sumOfSquares(a, count)], [reference.float32.sumOfSquares(a, count)],
        tolerance: 1e-13,
        "\(count) elements")
    }
  }

  /// x·Φ(x) and Φ(x) + x·φ(x) by the C library's erfc, from where Φ is 0 to where it is 1.
  @Test(arguments: [reference] + vectorTables)
  func geluIsTheExactForm(table: KernelTable) {
    let x = (-1203...1203).map { Float($0) / 100 } + [-90, 90, -1e4, 1e4, 0]
    let dy = random(x.count, seed: 1)
    let root = 2.0.squareRoot()
    var (y, dx) = (room(x.count), room(x.count))
    table.float32.gelu(x, x.count, &y)
    table.float32.geluGradient(x, dy, x.count, &dx)
    for (i, v) in x.map(Double.init).enumerated() {
      let distribution = erfc(-v / root) / 2
      let density = exp(-v * v / 2) / (2 * Double.pi).squareRoot()
      let (value, slope) = (v * distribution, Double(dy[i]) * (distribution + v * density))
      #expect(abs(Double(y[i]) - value) < 1e-6 * max(1, abs(value)), "gelu(\(v)) is \(y[i])")
      #expect(
        abs(Double(dx[i]) - slope) < 2e-6 * max(1, abs(slope)), "its slope at \(v) is \(dx[i])")
    }
    #expect(y.suffix(16) == room(0)[...] && dx.suffix(16) == room(0)[...], "overrun")
  }

  /// σ(x) from where it is 0 to where it is 1, and its slope from the output.
  @Test(arguments: [reference] + vectorTables)
  func sigmoidSaturatesOnBothSides(table: KernelTable) {
    let x = (-1203...1203).map { Float($0) / 100 } + [-90, 90, -1e4, 1e4, 0]
    let dy = random(x.count, seed: 1)
    var (y, dx) = (room(x.count), room(x.count))
    table.float32.sigmoid(x, x.count, &y)
    table.float32.sigmoidGradient(y, dy, x.count, &dx)
    for (i, v) in x.map(Double.init).enumerated() {
      let value = 1 / (1 + exp(-v))
      let slope = Double(dy[i]) * value * (1 - value)
      #expect(abs(Double(y[i]) - value) < 1e-6, "sigmoid(\(v)) is \(y[i])")
      #expect(abs(Double(dx[i]) - slope) < 1e-6, "its slope at \(v) is \(dx[i])")
    }
    #expect(y.suffix(16) == room(0)[...] && dx.suffix(16) == room(0)[...], "overrun")
  }

  @Test(arguments: vectorTables)
  func optimizerStepsMatchThePlainLoops(table: KernelTable) {
    let sgd = SGDStep(rate: 0.1, momentum: 0.9, decay: 0.01, nesterov: true, first: false)
    let adam = AdamWStep(
      rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, decay: 0.1, step: 3)
    for count in awkwardCounts {
      let g = random(count, seed: 1)
      func step(_ table: KernelTable) -> [Float] {
        var (p, v) = (random(count, seed: 2) + room(0), random(count, seed: 3) + room(0))
        table.sgd(&p, g, &v, count, sgd)
        var (q, m) = (random(count, seed: 4) + room(0), random(count, seed: 5) + room(0))
        var s = random(count, seed: 6).map { $0 * $0 } + room(0)
        table.adamW(&q, g, &m, &s, count, adam)
        return p + v + q + m + s
      }
      expectClose(step(table), step(reference), tolerance: 1e-5, "\(count) parameters")
    }
  }
}
