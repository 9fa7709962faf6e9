import Glibc
import LockstepKernelLoops
public import LockstepTensors

#if ONEDNN
  import CDNNL
#endif

/// The queries, keys or values of all heads, `[N, T, heads · size]`, as columns of a tensor that may
/// hold more.
public struct HeadColumns: Sendable {
  /// The tensor, `[N, T, …]`.
  public let tensor: Tensor
  /// The first column.
  public let first: Int

  /// The columns of `tensor` from `first` on.
  public init(_ tensor: Tensor, first: Int = 0) {
    self.tensor = tensor
    self.first = first
  }

  /// The block of one sample's head from position `position` on.
  func block(_ sample: Int, _ position: Int, _ column: Int, transposed: Bool = false)
    -> Kernel.Block
  {
    let stride = tensor.shape.channels
    let row = sample * tensor.shape[1] + position
    return Kernel.Block(
      start: tensor.output + row * stride + first + column, stride: stride, transposed: transposed)
  }
}

/// Causal attention of several heads, in tiles: no memory grows with the square of the length.
public struct AttentionGeometry: Hashable, Sendable {
  /// How many heads.
  public let heads: Int
  /// The channels of a head.
  public let size: Int
  /// What q · k is multiplied by.
  public let scale: Float
  /// Scores are softly capped to ± this; 0 for no cap.
  public let cap: Float

  /// Puts the geometry together.
  public init(heads: Int, size: Int, scale: Float, cap: Float = 0) {
    self.heads = heads
    self.size = size
    self.scale = scale
    self.cap = cap
  }
}

extension Kernel {
  /// Positions in a tile, of queries and of keys.
  private static let tile = 128

  /// softmax(scale · q kᵀ) v of every head, a position seeing itself and those before it.
  ///
  /// - Returns: y `[N, T, heads · size]`, and the logarithm of each softmax's sum,
  ///   `[N, heads, T]`, which the backward pass needs.
  public static func attention(
    _ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns, _ geometry: AttentionGeometry
  ) -> (y: Tensor, logSums: Tensor) {
    let (samples, length) = (q.tensor.shape[0], q.tensor.shape[1])
    let (heads, size) = (geometry.heads, geometry.size)
    let y = Tensor.uninitialized([samples, length, heads * size])
    let logSums = Tensor.uninitialized([samples, heads, length])
    let scores = Tensor.uninitialized([tile, tile])
    let running = Tensor.uninitialized([3, tile])
    let output = HeadColumns(y)
    useOneThread()
    let (s, largest) = (scores.output, running.output)
    let (sums, factors) = (largest + tile, largest + 2 * tile)
    for sample in 0..<samples {
      for head in 0..<heads {
        let column = head * size
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          largest.update(repeating: -.greatestFiniteMagnitude, count: rows)
          sums.update(repeating: 0, count: rows)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            blockProduct(
              q.block(sample, i, column), k.block(sample, j, column, transposed: true), rows,
              columns, size, factor: geometry.scale, into: Block(start: s, stride: padded))
            table.attentionTile(
              s, rows, padded, i - j + 1, geometry.cap, largest, sums, factors)
            let target = output.block(sample, i, column)
            if j > 0 { scaleRows(target, rows, size, factors) }
            blockProduct(
              Block(start: s, stride: padded), v.block(sample, j, column), rows, size, columns,
              into: target, accumulating: j > 0)
          }
          let logs = logSums.output + (sample * heads + head) * length + i
          for row in 0..<rows {
            logs[row] = largest[row] + logf(sums[row])
            factors[row] = 1 / sums[row]
          }
          scaleRows(output.block(sample, i, column), rows, size, factors)
        }
      }
    }
    withExtendedLifetime((scores, running)) {}
    return (y, logSums)
  }

  /// The gradients of q, k and v, added to `dq`, `dk` and `dv`.
  public static func addAttentionGradients(
    _ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns, y: Tensor, logSums: Tensor,
    _ dy: Tensor, _ geometry: AttentionGeometry, to dq: HeadColumns, _ dk: HeadColumns,
    _ dv: HeadColumns
  ) {
    let (samples, length) = (q.tensor.shape[0], q.tensor.shape[1])
    let (heads, size) = (geometry.heads, geometry.size)
    precondition(y.count == samples * length * heads * size && dy.count == y.count)
    let tiles = Tensor.uninitialized([2, tile * tile])
    let dots = Tensor.uninitialized([length])
    useOneThread()
    let (s, g) = (tiles.output, tiles.output + tile * tile)
    let (outputs, gradients) = (HeadColumns(y), HeadColumns(dy))
    for sample in 0..<samples {
      for head in 0..<heads {
        let column = head * size
        let logs = logSums.output + (sample * heads + head) * length
        for row in 0..<length {
          let (a, b) = (
            outputs.block(sample, row, column).start, gradients.block(sample, row, column).start
          )
          var dot: Float = 0
          for c in 0..<size { dot += a[c] * b[c] }
          dots.output[row] = dot
        }
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            let (weights, slopes) = (
              Block(start: s, stride: padded), Block(start: g, stride: padded)
            )
            let (queries, keys) = (q.block(sample, i, column), k.block(sample, j, column))
            let incoming = gradients.block(sample, i, column)
            blockProduct(
              queries, k.block(sample, j, column, transposed: true), rows, columns, size,
              factor: geometry.scale, into: weights)
            blockProduct(
              incoming, v.block(sample, j, column, transposed: true), rows, columns, size,
              into: slopes)
            table.attentionTileGradient(
              s, g, rows, padded, i - j + 1, geometry.cap, logs + i, dots.output + i)
            let (weightsT, slopesT) = (
              Block(start: s, stride: padded, transposed: true),
              Block(start: g, stride: padded, transposed: true)
            )
            blockProduct(
              weightsT, incoming, columns, size, rows, into: dv.block(sample, j, column),
              accumulating: true)
            blockProduct(
              slopes, keys, rows, size, columns, factor: geometry.scale,
              into: dq.block(sample, i, column), accumulating: true)
            blockProduct(
              slopesT, queries, columns, size, rows, factor: geometry.scale,
              into: dk.block(sample, j, column), accumulating: true)
          }
        }
      }
    }
    withExtendedLifetime((tiles, dots)) {}
  }

  private static func scaleRows(_ block: Block, _ rows: Int, _ size: Int, _ factors: Output) {
    for row in 0..<rows {
      let p = block.start + row * block.stride
      table.scale(p, factors[row], size, p)
    }
  }

  private static func useOneThread() {
    #if ONEDNN
      if OneDNN.isUsed { cdnnl_use_one_thread() }
    #endif
  }
}
