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

  /// Samples of any size, around 0 and far from it, with some channels constant: no float32 sum leaves its range.
  @Test(
    arguments: vectorTables, [1e-25, 1e-12, 1, 1e14, 1e19, 1e25, 1e36] as [Float])
  func samplesOfAnySizeAreNormalizedByGroups(table: KernelTable, size: Float) {
    for (positions, channels, mean) in [
      (5, 4, 0), (64, 64, 0), (100, 32, 30), (40, 20, -30), (1024, 16, 30),
    ] {
      let shape = GroupShape(samples: 2, positions: positions, channels: channels, groups: 2)
      let gain = random(channels, mean: 1, seed: 3)
      let bias = random(channels, seed: 4)
      var x = random(2 * shape.each, mean: Float(mean), seed: 5).map { $0 * size }
      for i in stride(from: 1, to: x.count, by: channels) { x[i] = 0 }
      func normalized(_ table: KernelTable) -> (y: [Float], inverses: [Double]) {
        var (y, centers, inverses) = (room(x.count), room(4 * channels), sums(4))
        var scratch = sums(4 * channels)
        table.float32.groupNormalize(
          x, shape, gain, bias, 0, .none, &y, &centers, &inverses, &scratch)
        return (y, inverses.map { $0 * Double(size) })
      }
      let (a, b) = (normalized(table), normalized(reference))
      let name = "\(shape) around \(mean) times \(size)"
      expectClose(a.y, b.y, tolerance: 2e-6, "y of \(name)")
      expectClose(a.inverses, b.inverses, tolerance: 1e-6, "1 / √variance of \(name)")
    }
  }
}
