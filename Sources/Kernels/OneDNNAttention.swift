#if ONEDNN
  import CDNNL
  import Glibc
  import LockstepFloatLoops
  import LockstepKernelLoops
  import LockstepOneDNNPrimitives
  import LockstepTensors

  /// Causal attention on bfloat16 activations, a tile of all heads of a sample at a time, by oneDNN's batched
  /// products.
  final class BatchedAttention {
    private let geometry: AttentionGeometry
    private var products: [BatchedProduct.Geometry: BatchedProduct] = [:]

    init(_ geometry: AttentionGeometry) { self.geometry = geometry }

    private var heads: Int { geometry.heads }
    private var size: Int { geometry.size }

    /// c = a · b of every head, added to c where `accumulating`.
    private func multiply(
      _ a: HeadBlock, _ b: HeadBlock, into c: HeadBlock, _ m: Int, _ n: Int, _ k: Int,
      accumulating: Bool = false
    ) {
      let key = BatchedProduct.Geometry(
        batch: heads, m: m, n: n, k: k, a: a.layout, b: b.layout, c: c.layout,
        accumulates: accumulating)
      let product = products[key] ?? BatchedProduct(key)
      products[key] = product
      product.run(a.start, b.start, into: c.start)
    }

    func forward(_ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns) -> (
      y: Tensor, logSums: Tensor
    ) {
      let (samples, length) = (q.tensor.shape[0], q.tensor.shape[1])
      let tile = min(Kernel.tile, (length + 15) & ~15)
      let y = Tensor.uninitialized([samples, length, heads * size], .bfloat16)
      let logSums = Tensor.uninitialized([samples, heads, length])
      let scores = Tensor.uninitialized([heads, tile, tile])
      let weights = Tensor.uninitialized([heads, tile, tile], .bfloat16)
      let sums = Tensor.uninitialized([heads, tile, size])
      let running = Tensor.uninitialized([3, heads, tile])
      let (largest, totals) = (running.output, running.output + heads * tile)
      let factors = running.output + 2 * heads * tile
      cdnnl_use_one_thread()
      for sample in 0..<samples {
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          largest.update(repeating: -.greatestFiniteMagnitude, count: heads * tile)
          totals.update(repeating: 0, count: heads * tile)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            multiply(
              .heads(q, sample, i, size), .heads(k, sample, j, size).transposed,
              into: .packed(scores, rows, padded), rows, columns, size)
            for head in 0..<heads {
              Kernel.table.attentionTile(
                scores.output + head * rows * padded, rows, padded, i - j + 1, geometry.scale,
                geometry.cap, largest + head * tile, totals + head * tile, factors + head * tile)
            }
            BFloat16.kernels.narrow(
              scores.input, heads * rows * padded, BFloat16.target(weights))
            if j > 0 {
              for row in 0..<heads * rows {
                let p = sums.output + row * size
                let factor = factors[row / rows * tile + row % rows]
                Kernel.table.float32.scale(Input(p), factor, size, p)
              }
            }
            multiply(
              .packed(weights, rows, padded), .heads(v, sample, j, size),
              into: .packed(sums, rows, size), rows, size, columns, accumulating: j > 0)
          }
          for head in 0..<heads {
            let logs = logSums.output + (sample * heads + head) * length + i
            let (tops, totals) = (largest + head * tile, totals + head * tile)
            for row in 0..<rows {
              logs[row] = tops[row] + logf(totals[row])
              factors[head * tile + row] = 1 / totals[row]
            }
            let block = HeadBlock.heads(HeadColumns(y), sample, i, size)
            BFloat16.kernels.narrowRows(
              sums.input + head * rows * size, Input(factors + head * tile), rows, size,
              block.bfloat16 + head * size, heads * size)
          }
        }
      }
      withExtendedLifetime((scores, weights, sums, running)) {}
      return (y, logSums)
    }

    func gradients(
      _ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns, y: Tensor, logSums: Tensor,
      _ dy: Tensor, to dq: HeadColumns, _ dk: HeadColumns, _ dv: HeadColumns
    ) {
      let (samples, length) = (q.tensor.shape[0], q.tensor.shape[1])
      let tile = min(Kernel.tile, (length + 15) & ~15)
      let (scores, slopes) = (
        Tensor.uninitialized([heads, tile, tile]), Tensor.uninitialized([heads, tile, tile])
      )
      let weights = Tensor.uninitialized([heads, tile, tile], .bfloat16)
      let gradients = Tensor.uninitialized([heads, tile, tile], .bfloat16)
      let sums = (0..<3).map { _ in Tensor.uninitialized([heads, length, size]) }
      let dots = Tensor.uninitialized([heads, length])
      let (scaled, ones) = (
        Tensor.filled([length], with: geometry.scale), Tensor.filled([length], with: 1)
      )
      let width = heads * size
      cdnnl_use_one_thread()
      for sample in 0..<samples {
        let start = sample * length * width
        for head in 0..<heads {
          BFloat16.kernels.rowDots(
            BFloat16.source(y) + start + head * size, width,
            BFloat16.source(dy) + start + head * size, width, length, size,
            dots.output + head * length)
        }
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          let incoming = HeadBlock.heads(HeadColumns(dy), sample, i, size)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            let queries = HeadBlock.heads(q, sample, i, size)
            let keys = HeadBlock.heads(k, sample, j, size)
            multiply(
              queries, keys.transposed, into: .packed(scores, rows, padded), rows, columns, size)
            multiply(
              incoming, .heads(v, sample, j, size).transposed,
              into: .packed(slopes, rows, padded), rows, columns, size)
            for head in 0..<heads {
              Kernel.table.attentionTileGradient(
                scores.output + head * rows * padded, slopes.output + head * rows * padded, rows,
                padded, i - j + 1, geometry.scale, geometry.cap,
                logSums.input + (sample * heads + head) * length + i,
                dots.input + head * length + i)
            }
            let count = heads * rows * padded
            BFloat16.kernels.narrow(scores.input, count, BFloat16.target(weights))
            BFloat16.kernels.narrow(slopes.input, count, BFloat16.target(gradients))
            let (p, g) = (
              HeadBlock.packed(weights, rows, padded), HeadBlock.packed(gradients, rows, padded)
            )
            func sum(_ index: Int, from row: Int) -> HeadBlock {
              .packed(sums[index], length, size).from(row)
            }
            // Keys of tile j are seen first by the queries of tile j.
            multiply(
              g, keys, into: sum(0, from: i), rows, size, columns, accumulating: j > 0)
            multiply(
              g.transposed, queries, into: sum(1, from: j), columns, size, rows,
              accumulating: i > j)
            multiply(
              p.transposed, incoming, into: sum(2, from: j), columns, size, rows,
              accumulating: i > j)
          }
        }
        for (index, target) in [dq, dk, dv].enumerated() {
          let block = HeadBlock.heads(target, sample, 0, size)
          for head in 0..<heads {
            BFloat16.kernels.narrowRows(
              sums[index].input + head * length * size, index == 2 ? ones.input : scaled.input,
              length, size, block.bfloat16 + head * size, target.tensor.shape.channels)
          }
        }
      }
      withExtendedLifetime((scores, slopes, weights, gradients, sums)) {}
      withExtendedLifetime((dots, scaled, ones)) {}
    }
  }

  /// A matrix of every head: where the first begins, and how far apart heads, rows and columns are.
  private struct HeadBlock {
    let start: UnsafeMutableRawPointer
    let layout: BatchedProduct.Layout

    /// One sample's rows from `position` on, in a tensor that holds all heads side by side.
    static func heads(_ columns: HeadColumns, _ sample: Int, _ position: Int, _ size: Int)
      -> HeadBlock
    {
      let stride = columns.tensor.shape.channels
      let row = sample * columns.tensor.shape[1] + position
      return HeadBlock(
        start: UnsafeMutableRawPointer(
          BFloat16.target(columns.tensor) + row * stride + columns.first),
        layout: BatchedProduct.Layout(
          head: size, row: stride, column: 1, precision: .bfloat16))
    }

    /// Matrices of their own, one after the other.
    static func packed(_ tensor: Tensor, _ rows: Int, _ columns: Int) -> HeadBlock {
      HeadBlock(
        start: tensor.address,
        layout: BatchedProduct.Layout(
          head: rows * columns, row: columns, column: 1, precision: tensor.precision))
    }

    /// Every matrix from a row on.
    func from(_ row: Int) -> HeadBlock {
      let bytes = layout.precision == .float32 ? 4 : 2
      return HeadBlock(start: start + row * layout.row * bytes, layout: layout)
    }

    /// Every matrix's transpose.
    var transposed: HeadBlock {
      HeadBlock(
        start: start,
        layout: BatchedProduct.Layout(
          head: layout.head, row: layout.column, column: layout.row,
          precision: layout.precision))
    }

    /// The first number of bfloat16 matrices.
    var bfloat16: Target<BFloat16> { start.assumingMemoryBound(to: BFloat16.self) }
  }
#endif
