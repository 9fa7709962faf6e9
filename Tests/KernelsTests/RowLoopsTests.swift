import LockstepFloatLoops
import LockstepKernelLoops
import Testing

/// The loops over rows, of every instruction set, against the plain ones.
@Suite struct RowLoopsTests {
  /// Every rule that a row norm can follow.
  private static let rules = [
    RowRule(epsilon: 1e-3), RowRule(epsilon: 1e-3, outside: true),
    RowRule(epsilon: 1e-3, unbiased: true), RowRule(epsilon: 1e-3, outside: true, unbiased: true),
  ]

  /// What one size's forward and backward pass write, with the room behind it.
  private struct Results {
    let y: [Float]
    let saved: [Float]
    let dx: [Float]
    let sums: [Double]
  }

  private func run(
    _ table: KernelTable, centred: Bool, rows: Int, width: Int, period: Int, rule: RowRule,
    mean: Float = 0, from forward: Results? = nil
  ) -> Results {
    let x = random(rows * width, mean: mean, seed: 1)
    let dy = random(rows * width, seed: 2)
    let gain = random(period * width, mean: 1, seed: 3)
    let bias = random(period * width, seed: 4)
    var (y, saved, dx) = (room(x.count), room(4 * rows), dy + room(0))
    var (sums, scratch) = (sums(2 * period * width), room(2 * period * width + 528))
    let normalize = centred ? table.float32.layerNormalize : table.float32.rmsNormalize
    let gradient = centred ? table.float32.layerGradient : table.float32.rmsGradient
    normalize(x, rows, width, period, gain, bias, rule, .none, &y, &saved, &scratch)
    // dx may be written over dy.
    dx.withUnsafeMutableBufferPointer {
      guard let dx = $0.baseAddress else { return }
      gradient(
        x, dx, rows, width, period, gain, forward?.saved ?? saved, .none, dx, &sums, &scratch)
    }
    #expect(scratch.suffix(16) == room(0)[...], "the scratch was overrun")
    return Results(y: y, saved: saved, dx: dx, sums: sums)
  }

  @Test(arguments: vectorTables, [true, false])
  func everyRuleMatchesThePlainLoop(table: KernelTable, centred: Bool) {
    for width in awkwardChannels {
      for rows in awkwardRows {
        for rule in Self.rules where width > 2 || !rule.outside {
          let b = run(
            reference, centred: centred, rows: rows, width: width, period: 1, rule: rule)
          let a = run(
            table, centred: centred, rows: rows, width: width, period: 1, rule: rule, from: b)
          let name = "[\(rows), \(width)] \(rule)"
          expectClose(a.y, b.y, tolerance: 1e-5, "y of \(name)")
          expectClose(a.dx, b.dx, tolerance: 3e-5, "dx of \(name)")
          expectClose(a.sums, b.sums, tolerance: 2e-5, "parameters' gradients of \(name)")
        }
      }
    }
  }

  @Test(arguments: vectorTables, [2, 3])
  func rowsTakeTheirPartOfThePeriod(table: KernelTable, period: Int) {
    for width in awkwardChannels where width > 1 {
      for rows in awkwardRows {
        for centred in [true, false] {
          let rule = RowRule(epsilon: 1e-3)
          let b = run(
            reference, centred: centred, rows: rows, width: width, period: period, rule: rule)
          let a = run(
            table, centred: centred, rows: rows, width: width, period: period, rule: rule, from: b)
          let name = "[\(rows), \(width)], period \(period), centred \(centred)"
          expectClose(a.y, b.y, tolerance: 1e-5, "y of \(name)")
          expectClose(a.dx, b.dx, tolerance: 3e-5, "dx of \(name)")
          expectClose(a.sums, b.sums, tolerance: 2e-5, "parameters' gradients of \(name)")
        }
      }
    }
  }

  /// K + d and r are those of float64 arithmetic where the rows' mean is 10⁴ standard deviations.
  @Test(arguments: [reference] + vectorTables)
  func rowsFarFromZeroHaveTheirFloat64Moments(table: KernelTable) {
    for width in awkwardChannels where width >= 15 {
      let (rows, rule) = (33, RowRule(epsilon: 1e-3))
      let x = random(rows * width, mean: 1e4, seed: 1).map(Double.init)
      let result = run(
        table, centred: true, rows: rows, width: width, period: 1, rule: rule, mean: 1e4)
      for row in 0..<rows {
        let values = x[row * width..<(row + 1) * width]
        let mean = values.reduce(0, +) / Double(width)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let r = 1 / (squares / Double(width) + 1e-3).squareRoot()
        let found = Double(result.saved[row]) + Double(result.saved[rows + row])
        #expect(abs(found - mean) < 1e-5, "row \(row) of \(width): mean \(found), not \(mean)")
        let scale = Double(result.saved[2 * rows + row])
        #expect(abs(scale - r) < 1e-5 * r, "row \(row) of \(width): r \(scale), not \(r)")
      }
    }
  }

  /// A channel may be far from all others in every row, the first as well as the last.
  @Test(arguments: vectorTables, [10, -777.7, 1e5] as [Float])
  func rowsWithOneValueFarFromTheOthersKeepTheirDigits(table: KernelTable, distance: Float) {
    for width in awkwardChannels where width >= 15 {
      for channel in [0, width - 1] {
        let (rows, rule) = (33, RowRule(epsilon: 1e-3))
        var x = random(rows * width, seed: 1)
        for row in 0..<rows { x[row * width + channel] += distance }
        func pass(_ table: KernelTable) -> (y: [Float], saved: [Float]) {
          let (gain, bias) = (
            [Float](repeating: 1, count: width), [Float](repeating: 0, count: width)
          )
          var (y, saved, scratch) = (room(x.count), room(4 * rows), room(2 * width + 528))
          table.float32.layerNormalize(
            x, rows, width, 1, gain, bias, rule, .none, &y, &saved, &scratch)
          return (y, saved)
        }
        let (a, b) = (pass(table), pass(reference))
        let name = "\(width), channel \(channel) off by \(distance)"
        expectClose(a.y, b.y, tolerance: 5e-6, "y of \(name)")
        expectClose(
          a.saved[2 * rows..<3 * rows].map(Double.init),
          b.saved[2 * rows..<3 * rows].map(Double.init), tolerance: 1e-6, "r of \(name)")
      }
    }
  }

  /// Rows of any size have the y of rows of size 1, and 1 / size of their dx: no float32 sum leaves its range.
  @Test(arguments: [reference] + vectorTables, [1e-12, 1e14, 1e19, 1e25, 1e37] as [Float])
  func rowsOfAnySizeKeepTheirDigits(table: KernelTable, size: Float) {
    for width in [5, 16, 32, 64, 65, 1024, 1100] {
      for centred in [true, false] {
        for outside in [false, true] {
          let rows = 19
          // ε takes part in neither.
          let rule = RowRule(epsilon: 0, outside: outside)
          let x = random(rows * width, seed: 1)
          let dy = random(rows * width, seed: 2)
          let gain = random(width, mean: 1, seed: 3)
          let bias = random(width, seed: 4)
          func pass(_ factor: Float, _ table: KernelTable) -> (y: [Float], dx: [Float], [Double]) {
            let scaled = x.map { $0 * factor }
            var (y, saved, dx) = (room(x.count), room(4 * rows), room(x.count))
            var (sums, scratch) = (sums(2 * width), room(2 * width + 528))
            let (normalize, gradient) =
              centred
              ? (table.float32.layerNormalize, table.float32.layerGradient)
              : (table.float32.rmsNormalize, table.float32.rmsGradient)
            normalize(scaled, rows, width, 1, gain, bias, rule, .none, &y, &saved, &scratch)
            gradient(scaled, dy, rows, width, 1, gain, saved, .none, &dx, &sums, &scratch)
            // Of float64, since 1 / size may be a subnormal float.
            return (y, dx, sums)
          }
          let (a, b) = (pass(size, table), pass(1, reference))
          let name = "\(size), width \(width), centred \(centred), outside \(outside)"
          expectClose(a.y, b.y, tolerance: 1e-5, "y of \(name)")
          expectClose(a.2, b.2, tolerance: 3e-5, "parameters' gradients of \(name)")
          let dx = a.dx.dropLast(16).map { Double($0) * Double(size) }
          // 1 / 10³⁷ itself has fewer digits than others.
          expectClose(dx, b.dx.dropLast(16), tolerance: size > 1e30 ? 1e-2 : 3e-5, "dx of \(name)")
        }
      }
    }
  }

  /// Outside the root, a row of zeros has a scale of 1/ε and no slope.
  @Test(arguments: [reference] + vectorTables, [16, 17, 100])
  func aRowOfZerosStaysFinite(table: KernelTable, width: Int) {
    let zeros = [Float](repeating: 0, count: 16 * width)
    let ones = [Float](repeating: 1, count: 16 * width)
    for rule in Self.rules {
      for (normalize, gradient) in [
        (table.float32.layerNormalize, table.float32.layerGradient),
        (table.float32.rmsNormalize, table.float32.rmsGradient),
      ] {
        var (y, saved, dx) = (room(zeros.count), room(64), room(zeros.count))
        var (sums, scratch) = (sums(2 * width), room(2 * width + 528))
        normalize(zeros, 16, width, 1, ones, zeros, rule, .none, &y, &saved, &scratch)
        gradient(zeros, ones, 16, width, 1, ones, saved, .none, &dx, &sums, &scratch)
        #expect(y[..<zeros.count].allSatisfy { $0 == 0 }, "\(rule)")
        #expect(dx.allSatisfy { $0.isFinite } && sums.allSatisfy { $0.isFinite }, "\(rule)")
      }
    }
  }
}
