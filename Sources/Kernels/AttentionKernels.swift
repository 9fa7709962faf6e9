import Glibc
import LockstepFloatLoops
import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

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
}

/// One sample's head of queries, keys, values, outputs or gradients as a float32 matrix `[T, size]`: in place in
/// a float32 tensor, else a copy.
private struct HeadMatrix {
  private let columns: HeadColumns
  private let size: Int
  private let copy: Tensor?

  /// The heads of `columns`, of `size` columns each.
  init(_ columns: HeadColumns, size: Int) {
    self.columns = columns
    self.size = size
    copy =
      columns.tensor.precision == .float32
      ? nil : .uninitialized([columns.tensor.shape[1], size])
  }

  private var stride: Int { columns.tensor.shape.channels }
  private func first(_ sample: Int, _ head: Int) -> Int {
    sample * columns.tensor.shape[1] * stride + columns.first + head * size
  }

  /// The matrix to read.
  func read(_ sample: Int, _ head: Int) -> Kernel.Block {
    let block = write(sample, head)
    guard let copy else { return block }
    BFloat16.kernels.widenRows(
      BFloat16.source(columns.tensor) + first(sample, head), stride, copy.shape[0], size,
      block.start)
    return block
  }

  /// The matrix to write, for ``finish(_:_:)``.
  func write(_ sample: Int, _ head: Int) -> Kernel.Block {
    guard let copy else {
      return Kernel.Block(start: columns.tensor.output + first(sample, head), stride: stride)
    }
    return Kernel.Block(start: copy.output, stride: size)
  }

  /// Brings what was written to where it belongs.
  func finish(_ sample: Int, _ head: Int) {
    guard let copy else { return }
    let ones = Tensor.filled([copy.shape[0]], with: 1)
    BFloat16.kernels.narrowRows(
      copy.input, ones.input, copy.shape[0], size,
      BFloat16.target(columns.tensor) + first(sample, head), stride)
    withExtendedLifetime(ones) {}
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

/// Causal attention of one geometry; it keeps the products that it has prepared.
///
/// One thread at a time may use it.
public final class Attention {
  /// The heads, and what their scores are made of.
  public let geometry: AttentionGeometry
  #if ONEDNN
    private lazy var batched = BatchedAttention(geometry)
  #endif

  /// Attention of heads of a geometry.
  public init(_ geometry: AttentionGeometry) { self.geometry = geometry }

  /// softmax(scale · q kᵀ) v of every head, a position seeing itself and those before it.
  ///
  /// In bfloat16 products sum in float32; softmaxes are float32 in either precision.
  ///
  /// - Returns: y `[N, T, heads · size]`, and the logarithm of each softmax's sum,
  ///   `[N, heads, T]`, which the backward pass needs.
  public func forward(_ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns) -> (
    y: Tensor, logSums: Tensor
  ) {
    #if ONEDNN
      if isBatched(q) { return batched.forward(q, k, v) }
    #endif
    return Kernel.attention(q, k, v, geometry)
  }

  /// The gradients of q, k and v, written to `dq`, `dk` and `dv`.
  public func gradients(
    _ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns, y: Tensor, logSums: Tensor,
    _ dy: Tensor, to dq: HeadColumns, _ dk: HeadColumns, _ dv: HeadColumns
  ) {
    #if ONEDNN
      if isBatched(q) {
        return batched.gradients(q, k, v, y: y, logSums: logSums, dy, to: dq, dk, dv)
      }
    #endif
    Kernel.attentionGradients(q, k, v, y: y, logSums: logSums, dy, geometry, to: dq, dk, dv)
  }

  #if ONEDNN
    private func isBatched(_ q: HeadColumns) -> Bool {
      q.tensor.precision == .bfloat16 && q.tensor.count > 0 && OneDNN.isUsed
        && OneDNN.canUseBFloat16
    }
  #endif
}

extension Kernel {
  /// Positions in a tile, of queries and of keys.
  static let tile = 128

  /// softmax(scale · q kᵀ) v of every head, a position seeing itself and those before it.
  ///
  /// Computed in float32 in either precision.
  ///
  /// - Returns: y `[N, T, heads · size]`, and the logarithm of each softmax's sum,
  ///   `[N, heads, T]`, which the backward pass needs.
  static func attention(
    _ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns, _ geometry: AttentionGeometry
  ) -> (y: Tensor, logSums: Tensor) {
    let (samples, length) = (q.tensor.shape[0], q.tensor.shape[1])
    let (heads, size) = (geometry.heads, geometry.size)
    let y = Tensor.uninitialized([samples, length, heads * size], q.tensor.precision)
    let logSums = Tensor.uninitialized([samples, heads, length])
    let scores = Tensor.uninitialized([tile, tile])
    let running = Tensor.uninitialized([3, tile])
    let inputs = [q, k, v].map { HeadMatrix($0, size: size) }
    let output = HeadMatrix(HeadColumns(y), size: size)
    useOneThread()
    let (s, largest) = (scores.output, running.output)
    let (sums, factors) = (largest + tile, largest + 2 * tile)
    for sample in 0..<samples {
      for head in 0..<heads {
        let queries = inputs[0].read(sample, head)
        let keys = inputs[1].read(sample, head)
        let values = inputs[2].read(sample, head)
        let outputs = output.write(sample, head)
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          largest.update(repeating: -.greatestFiniteMagnitude, count: rows)
          sums.update(repeating: 0, count: rows)
          let target = outputs.from(i)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            blockProduct(
              queries.from(i), keys.from(j).transpose, rows, columns, size,
              factor: geometry.scale, into: Block(start: s, stride: padded))
            table.attentionTile(
              s, rows, padded, i - j + 1, 1, geometry.cap, largest, sums, factors)
            if j > 0 { scaleRows(target, rows, size, factors) }
            blockProduct(
              Block(start: s, stride: padded), values.from(j), rows, size, columns,
              into: target, accumulating: j > 0)
          }
          let logs = logSums.output + (sample * heads + head) * length + i
          for row in 0..<rows {
            logs[row] = largest[row] + logf(sums[row])
            factors[row] = 1 / sums[row]
          }
          scaleRows(target, rows, size, factors)
        }
        output.finish(sample, head)
      }
    }
    withExtendedLifetime((scores, running, inputs, output)) {}
    return (y, logSums)
  }

  /// The gradients of q, k and v, written to `dq`, `dk` and `dv`.
  static func attentionGradients(
    _ q: HeadColumns, _ k: HeadColumns, _ v: HeadColumns, y: Tensor, logSums: Tensor,
    _ dy: Tensor, _ geometry: AttentionGeometry, to dq: HeadColumns, _ dk: HeadColumns,
    _ dv: HeadColumns
  ) {
    let (samples, length) = (q.tensor.shape[0], q.tensor.shape[1])
    let (heads, size) = (geometry.heads, geometry.size)
    precondition(y.count == samples * length * heads * size && dy.count == y.count)
    let tiles = Tensor.uninitialized([2, tile * tile])
    let dots = Tensor.uninitialized([length])
    let inputs = [q, k, v, HeadColumns(y), HeadColumns(dy)].map { HeadMatrix($0, size: size) }
    let outputs = [dq, dk, dv].map { HeadMatrix($0, size: size) }
    useOneThread()
    let (s, g) = (tiles.output, tiles.output + tile * tile)
    for sample in 0..<samples {
      for head in 0..<heads {
        let logs = logSums.output + (sample * heads + head) * length
        let all = inputs.map { $0.read(sample, head) }
        let (queries, keys, values) = (all[0], all[1], all[2])
        let incoming = all[4]
        let gradients = outputs.map { $0.write(sample, head) }
        table.float32.rowDots(
          Input(all[3].start), all[3].stride, Input(incoming.start), incoming.stride, length,
          size, dots.output)
        for i in stride(from: 0, to: length, by: tile) {
          let rows = min(tile, length - i)
          for j in stride(from: 0, through: i, by: tile) {
            let columns = min(tile, length - j)
            let padded = (columns + 15) & ~15
            let (weights, slopes) = (
              Block(start: s, stride: padded), Block(start: g, stride: padded)
            )
            blockProduct(
              queries.from(i), keys.from(j).transpose, rows, columns, size,
              factor: geometry.scale, into: weights)
            blockProduct(
              incoming.from(i), values.from(j).transpose, rows, columns, size, into: slopes)
            table.attentionTileGradient(
              s, g, rows, padded, i - j + 1, 1, geometry.cap, logs + i, dots.output + i)
            // Keys of tile j are seen first by the queries of tile j.
            blockProduct(
              weights.transpose, incoming.from(i), columns, size, rows,
              into: gradients[2].from(j), accumulating: i > j)
            blockProduct(
              slopes, keys.from(j), rows, size, columns, factor: geometry.scale,
              into: gradients[0].from(i), accumulating: j > 0)
            blockProduct(
              slopes.transpose, queries.from(i), columns, size, rows, factor: geometry.scale,
              into: gradients[1].from(j), accumulating: i > j)
          }
        }
        for output in outputs { output.finish(sample, head) }
      }
    }
    withExtendedLifetime((tiles, dots, inputs, outputs)) {}
  }

  private static func scaleRows(_ block: Block, _ rows: Int, _ size: Int, _ factors: Output) {
    for row in 0..<rows {
      let p = block.start + row * block.stride
      table.float32.scale(p, factors[row], size, p)
    }
  }

  private static func useOneThread() {
    #if ONEDNN
      if OneDNN.isUsed { cdnnl_use_one_thread() }
    #endif
  }
}
