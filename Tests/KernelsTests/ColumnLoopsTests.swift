import LockstepFloatLoops
import LockstepKernelLoops
import Testing

/// The loops over columns, of every instruction set, against the plain ones.
@Suite struct ColumnLoopsTests {
  /// One size's inputs: x far from 0, and what normalizes its columns.
  private struct Case {
    let rows: Int
    let channels: Int
    let x: [Float]
    let dy: [Float]
    let center: [Float]
    let offset: [Float]
    let scale: [Float]
    let bias: [Float]
    var name: String { "[\(rows), \(channels)]" }

    init(_ rows: Int, _ channels: Int) {
      (self.rows, self.channels) = (rows, channels)
      x = random(rows * channels, mean: 1e4, seed: 1)
      dy = random(rows * channels, seed: 2)
      center = random(channels, mean: 1e4, seed: 3)
      offset = random(channels, seed: 4).map { $0 * 1e-4 }
      scale = random(channels, seed: 5)
      bias = random(channels, seed: 6)
    }

    static var all: [Case] {
      awkwardChannels.flatMap { channels in awkwardRows.map { Case($0, channels) } }
    }
  }

  @Test(arguments: vectorTables)
  func momentsOfColumnsFarFromZeroKeepAllDigits(table: KernelTable) {
    for c in Case.all {
      var (a, b) = (sums(2 * c.channels), sums(2 * c.channels))
      table.float32.columnMoments(c.x, c.rows, c.channels, c.center, &a)
      reference.float32.columnMoments(c.x, c.rows, c.channels, c.center, &b)
      expectClose(a, b, tolerance: 1e-12, c.name)
    }
  }

  @Test(arguments: vectorTables)
  func columnSumsKeepAllDigits(table: KernelTable) {
    for c in Case.all {
      var (a, b) = (sums(c.channels), sums(c.channels))
      table.float32.columnSums(c.x, c.rows, c.channels, &a)
      reference.float32.columnSums(c.x, c.rows, c.channels, &b)
      expectClose(a, b, tolerance: 1e-13, c.name)
    }
  }

  @Test(arguments: vectorTables)
  func columnsAreNormalized(table: KernelTable) {
    for c in Case.all {
      var (a, b) = (room(c.x.count), room(c.x.count))
      table.float32.columnNormalize(
        c.x, c.rows, c.channels, c.center, c.offset, c.scale, c.bias,
        .none, &a)
      reference.float32.columnNormalize(
        c.x, c.rows, c.channels, c.center, c.offset, c.scale, c.bias,
        .none, &b)
      expectClose(a, b, tolerance: 1e-6, c.name)
    }
  }

  @Test(arguments: vectorTables)
  func gradientSumsKeepTheDigitsOfFloat32InBlocks(table: KernelTable) {
    for c in Case.all {
      var (a, b) = (sums(2 * c.channels), sums(2 * c.channels))
      table.float32.columnGradientSums(c.x, c.dy, c.rows, c.channels, c.center, c.offset, .none, &a)
      reference.float32.columnGradientSums(
        c.x, c.dy, c.rows, c.channels, c.center, c.offset, .none, &b)
      expectClose(a, b, tolerance: 1e-5, c.name)
    }
  }

  @Test(arguments: vectorTables)
  func gradientsOfColumnsMatchEvenOverTheirInput(table: KernelTable) {
    for c in Case.all {
      // dx may be written over dy.
      var (a, b) = (c.dy + room(0), room(c.x.count))
      a.withUnsafeMutableBufferPointer { dx in
        guard let dx = dx.baseAddress else { return }
        table.float32.columnGradient(
          c.x, dx, c.rows, c.channels, c.center, c.offset, c.bias, c.scale, c.bias, c.scale, dx)
      }
      reference.float32.columnGradient(
        c.x, c.dy, c.rows, c.channels, c.center, c.offset, c.bias, c.scale, c.bias, c.scale, &b)
      expectClose(a, b, tolerance: 2e-6, c.name)
    }
  }

  /// Expects y, means and 1 / √variance of samples in groups to be the plain loop's.
  private func expectGroups(
    of x: [Float], _ shape: GroupShape, epsilon: Double, like y: Double, _ table: KernelTable,
    _ name: String
  ) {
    let count = shape.samples * shape.groups
    let gain = random(shape.channels, mean: 1, seed: 3)
    let bias = random(shape.channels, seed: 4)
    func normalized(_ table: KernelTable) -> (y: [Float], means: [Double], inverses: [Double]) {
      let all = shape.samples * shape.channels
      var (y, centers, inverses) = (room(x.count), room(2 * all), sums(count))
      var scratch = sums(4 * shape.channels)
      table.float32.groupNormalize(
        x, shape, gain, bias, epsilon, .none, &y, &centers, &inverses, &scratch)
      let means = (0..<all).map { Double(centers[$0]) + Double(centers[all + $0]) }
      return (y, means, inverses)
    }
    let (a, b) = (normalized(table), normalized(reference))
    expectClose(a.y, b.y, tolerance: y, "y of \(name)")
    for (i, (found, right)) in zip(a.inverses, b.inverses).prefix(count).enumerated() {
      let isRight = abs(found / right - 1) < 2e-6 || (right.isNaN && found.isNaN)
      #expect(isRight, "1 / √variance \(i) of \(name): \(found), not \(right)")
    }
    for (i, (found, right)) in zip(a.means, b.means).enumerated() {
      let scale = b.inverses[i / (shape.channels / shape.groups)]
      let isRight = abs(found - right) * scale < 2e-6 || (right.isNaN && found.isNaN)
      #expect(isRight || scale.isNaN, "mean \(i) of \(name): \(found), not \(right)")
    }
  }

  /// Samples of any size, around 0 and far from it, with some channels constant: no float32 sum leaves its range.
  @Test(
    arguments: vectorTables, [1e-25, 1e-12, 1, 1e14, 1e19, 1e25, 1e36] as [Float])
  func samplesOfAnySizeAreNormalizedByGroups(table: KernelTable, size: Float) {
    for (positions, channels, mean) in [
      (5, 4, 0), (128, 64, 0), (300, 32, 30), (127, 20, -30), (1024, 16, 30),
    ] {
      let shape = GroupShape(samples: 2, positions: positions, channels: channels, groups: 2)
      var x = random(2 * shape.each, mean: Float(mean), seed: 5).map { $0 * size }
      for i in stride(from: 1, to: x.count, by: channels) { x[i] = 0 }
      expectGroups(
        of: x, shape, epsilon: 0, like: 2e-6, table, "\(shape) around \(mean) times \(size)")
    }
  }

  /// Where a few positions are not like the others, the shift is far from the mean, and numbers that are all
  /// alike are rounded alike.
  @Test(arguments: vectorTables)
  func samplesThatAreFlatOrSparseKeepTheirDigits(table: KernelTable) {
    let shape = GroupShape(samples: 1, positions: 4096, channels: 32, groups: 2)
    let flat: Float = 1 + 0x1p-21
    var samples: [(String, [Float])] = []
    for from in [0, 1, 63, 64] {
      for step in [1, 63, 64, 255] {
        var x = [Float](repeating: flat, count: shape.each)
        for i in 0..<16 {
          let position = min(from + i * step, 4095)
          for c in 0..<32 { x[position * 32 + c] = 0 }
        }
        samples.append(("16 zeros from \(from) by \(step)", x))
        samples.append(("16 numbers from \(from) by \(step)", x.map { flat - $0 }))
      }
    }
    for position in [0, 255, 4095] {
      var x = [Float](repeating: 0, count: shape.each)
      for c in 0..<32 { x[position * 32 + c] = 16 * flat }
      samples.append(("one number at \(position)", x))
    }
    for (name, x) in samples {
      expectGroups(of: x, shape, epsilon: 1e-5, like: 3e-6, table, name)
    }
  }

  @Test(arguments: vectorTables)
  func squaresThatVanishInFloat32AndNumbersThatAreNoneStayInTheirGroup(table: KernelTable) {
    let shape = GroupShape(samples: 1, positions: 256, channels: 16, groups: 2)
    let tiny = (0..<shape.each).map { $0 / 16 % 2 == 0 ? Float(1e-25) : -1e-25 }
    expectGroups(of: tiny, shape, epsilon: 0, like: 2e-6, table, "alternating ±1e-25")
    for strange in [Float.nan, .infinity] {
      var x = random(shape.each, seed: 6)
      x[16 * 20 + 3] = strange
      expectGroups(of: x, shape, epsilon: 1e-5, like: 2e-6, table, "\(strange) in the first group")
    }
  }
}
