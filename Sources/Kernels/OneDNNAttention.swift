import LockstepVectors

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
      let (queries, keys, values) = (tiles(length), tiles(length), tiles(length))
      cdnnl_use_one_thread()
      for sample in 0..<samples {
        queries.copy(q, sample)
        keys.copy(k, sample)
        values.copy(v, sample)
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          largest.update(repeating: -.greatestFiniteMagnitude, count: heads * tile)
          totals.update(repeating: 0, count: heads * tile)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            multiply(
              queries[i], keys[j].transposed, into: .packed(scores, rows, padded), rows, columns,
              size)
            for head in 0..<heads {
              let first = head * rows * padded
              Kernel.table.attentionTile(
                scores.output + first, rows, padded, i - j + 1, geometry.scale, geometry.cap,
                largest + head * tile, totals + head * tile, factors + head * tile)
              BFloat16.kernels.narrow(
                scores.input + first, rows * padded, BFloat16.target(weights) + first)
            }
            if j > 0 {
              for row in 0..<heads * rows {
                let p = sums.output + row * size
                let factor = factors[row / rows * tile + row % rows]
                Kernel.table.float32.scale(Input(p), factor, size, p)
              }
            }
            multiply(
              .packed(weights, rows, padded), values[j], into: .packed(sums, rows, size), rows,
              size, columns, accumulating: j > 0)
          }
          for head in 0..<heads {
            let logs = logSums.output + (sample * heads + head) * length + i
            let (tops, totals) = (largest + head * tile, totals + head * tile)
            for row in 0..<rows {
              logs[row] = tops[row] + logf(totals[row])
              factors[head * tile + row] = 1 / totals[row]
            }
            BFloat16.kernels.narrowRows(
              sums.input + head * rows * size, Input(factors + head * tile), rows, size,
              BFloat16.target(y) + (sample * length + i) * heads * size + head * size,
              heads * size)
          }
        }
      }
      withExtendedLifetime((scores, weights, sums, running)) {}
      withExtendedLifetime((queries, keys, values)) {}
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
      let (queries, keys, values) = (tiles(length), tiles(length), tiles(length))
      let incoming = tiles(length)
      let sums = (0..<3).map { _ in tiles(length, .float32) }
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
        queries.copy(q, sample)
        keys.copy(k, sample)
        values.copy(v, sample)
        incoming.copy(HeadColumns(dy), sample)
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            multiply(
              queries[i], keys[j].transposed, into: .packed(scores, rows, padded), rows, columns,
              size)
            multiply(
              incoming[i], values[j].transposed, into: .packed(slopes, rows, padded), rows,
              columns, size)
            for head in 0..<heads {
              let first = head * rows * padded
              Kernel.table.attentionTileGradient(
                scores.output + first, slopes.output + first, rows, padded, i - j + 1,
                geometry.scale, geometry.cap,
                logSums.input + (sample * heads + head) * length + i,
                dots.input + head * length + i)
              BFloat16.kernels.narrow(
                scores.input + first, rows * padded, BFloat16.target(weights) + first)
              BFloat16.kernels.narrow(
                slopes.input + first, rows * padded, BFloat16.target(gradients) + first)
            }
            let (p, g) = (
              HeadBlock.packed(weights, rows, padded), HeadBlock.packed(gradients, rows, padded)
            )
            // Keys of tile j are seen first by the queries of tile j.
            multiply(g, keys[j], into: sums[0][i], rows, size, columns, accumulating: j > 0)
            multiply(
              g.transposed, queries[i], into: sums[1][j], columns, size, rows,
              accumulating: i > j)
            multiply(
              p.transposed, incoming[i], into: sums[2][j], columns, size, rows,
              accumulating: i > j)
          }
        }
        sums[0].narrow(to: dq, sample, factors: scaled)
        sums[1].narrow(to: dk, sample, factors: scaled)
        sums[2].narrow(to: dv, sample, factors: ones)
      }
      withExtendedLifetime((scores, slopes, weights, gradients, dots)) {}
      withExtendedLifetime((queries, keys, values, incoming, sums)) {}
    }

    /// Room for one sample's matrices of all heads.
    private func tiles(_ length: Int, _ precision: Precision = .bfloat16) -> HeadTiles {
      HeadTiles(heads: heads, size: size, length: length, precision)
    }
  }

  /// One sample's matrices of all heads, in tiles of positions.
  ///
  /// The matrices of a tile lie one after the other, `[heads, rows, size]`: oneDNN has its fastest products for
  /// those.
  private struct HeadTiles {
    private let heads: Int
    private let size: Int
    private let length: Int
    private let tensor: Tensor

    /// Room for `length` positions of `heads` heads of `size` channels.
    init(heads: Int, size: Int, length: Int, _ precision: Precision) {
      (self.heads, self.size, self.length) = (heads, size, length)
      tensor = Tensor.uninitialized([length, heads, size], precision)
    }

    /// The tile that begins at `position`.
    subscript(position: Int) -> HeadBlock {
      HeadBlock.packed(tensor, rows(position), size).from(row: position * heads)
    }

    private func rows(_ position: Int) -> Int { min(Kernel.tile, length - position) }

    /// Copies a sample from a tensor that holds all heads side by side.
    func copy(_ columns: HeadColumns, _ sample: Int) {
      let stride = columns.tensor.shape.channels
      var target = BFloat16.target(tensor)
      for position in Swift.stride(from: 0, to: length, by: Kernel.tile) {
        let first =
          BFloat16.source(columns.tensor) + (sample * length + position) * stride + columns.first
        for head in 0..<heads {
          for row in 0..<rows(position) {
            target.update(from: first + row * stride + head * size, count: size)
            target += size
          }
        }
      }
    }

    /// Writes float32 matrices, every row times its factor, to where a sample has them in a bfloat16 tensor.
    func narrow(to columns: HeadColumns, _ sample: Int, factors: Tensor) {
      let stride = columns.tensor.shape.channels
      var source = tensor.input
      for position in Swift.stride(from: 0, to: length, by: Kernel.tile) {
        let first =
          BFloat16.target(columns.tensor) + (sample * length + position) * stride + columns.first
        for head in 0..<heads {
          BFloat16.kernels.narrowRows(
            source, factors.input + position, rows(position), size, first + head * size, stride)
          source += rows(position) * size
        }
      }
    }
  }

  /// A matrix of every head: where the first begins, and how far apart heads, rows and columns are.
  private struct HeadBlock {
    let start: UnsafeMutableRawPointer
    let layout: BatchedProduct.Layout

    /// Matrices one after the other.
    static func packed(_ tensor: Tensor, _ rows: Int, _ columns: Int) -> HeadBlock {
      HeadBlock(
        start: tensor.address,
        layout: BatchedProduct.Layout(
          head: rows * columns, row: columns, column: 1, precision: tensor.precision))
    }

    /// As many matrices, that begin so many rows later.
    func from(row: Int) -> HeadBlock {
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
  }
#endif
