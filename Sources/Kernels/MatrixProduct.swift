import LockstepFloatLoops
import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

#if ONEDNN
  import CDNNL
#endif

/// A matrix, or the transpose of one, as an operand.
public struct Operand {
  /// The matrix as it lies in memory.
  public let matrix: Tensor
  /// Whether its transpose is meant.
  public let transposed: Bool

  /// The matrix itself.
  public init(_ matrix: Tensor) {
    self.matrix = matrix
    transposed = false
  }

  /// The transpose of `matrix`.
  public static func transpose(_ matrix: Tensor) -> Operand { Operand(matrix, transposed: true) }

  private init(_ matrix: Tensor, transposed: Bool) {
    self.matrix = matrix
    self.transposed = transposed
  }

  var rows: Int { transposed ? matrix.shape.channels : matrix.shape.rows }
  var columns: Int { transposed ? matrix.shape.rows : matrix.shape.channels }
}

extension Kernel {
  /// c = a · b, or c + a · b where `accumulating`.
  ///
  /// A matrix is `[rows, channels]`.
  public static func matrixProduct(
    _ a: Operand, _ b: Operand, into c: Tensor, accumulating: Bool = false
  ) {
    let (m, n, k) = (a.rows, b.columns, a.columns)
    precondition(b.rows == k, "[\(m), \(k)] · [\(b.rows), \(n)]")
    precondition(c.shape.rows == m && c.shape.channels == n, "[\(m), \(n)] into \(c.shape)")
    // oneDNN 2.6 divides by zero on products without rows.
    guard m > 0, n > 0, k > 0 else {
      if !accumulating { c.fill(with: 0) }
      return
    }
    #if ONEDNN
      if OneDNN.isUsed {
        cdnnl_use_one_thread()
        let (ta, tb) = (CChar(a.transposed ? 84 : 78), CChar(b.transposed ? 84 : 78))  // T, N
        let status = dnnl_sgemm(
          ta, tb, dnnl_dim_t(m), dnnl_dim_t(n), dnnl_dim_t(k), 1, a.matrix.input,
          dnnl_dim_t(a.matrix.shape.channels), b.matrix.input,
          dnnl_dim_t(b.matrix.shape.channels), accumulating ? 1 : 0, c.output, dnnl_dim_t(n))
        precondition(status == dnnl_success, "dnnl_sgemm: status \(status.rawValue)")
        return
      }
    #endif
    // Named, or the first packed copy's memory would be given back before the second is made.
    let (left, right) = (a.packed, b.packed)
    withExtendedLifetime((left, right)) {
      table.matrixProduct(left.input, right.input, m, n, k, accumulating, c.output)
    }
  }
}

extension Kernel {
  /// A matrix within a larger one: its first element, and how far apart its rows are.
  struct Block {
    let start: Output
    let stride: Int
    var transposed = false

    /// The block from a row on.
    func from(_ row: Int) -> Block { Block(start: start + row * stride, stride: stride) }

    /// The block's transpose.
    var transpose: Block { Block(start: start, stride: stride, transposed: !transposed) }
  }

  /// The room for a small product's packed operand: 16 KiB of stack.
  private static let scratchCount = 4096

  /// c = factor · a · b, added to c where `accumulating`, on blocks of matrices.
  ///
  /// a is `[m, k]` and b `[k, n]` after their transposition; none of the three is 0.
  static func blockProduct(
    _ a: Block, _ b: Block, _ m: Int, _ n: Int, _ k: Int, factor: Float = 1, into c: Block,
    accumulating: Bool = false
  ) {
    // Below this, oneDNN's calls take longer than the work.
    if m * n * k <= 32_768, k * (n + 15) <= Self.scratchCount {
      withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.scratchCount) { scratch in
        guard let scratch = scratch.baseAddress else { return }
        table.smallProduct(
          a.strided, b.strided, m, n, k, factor, accumulating, c.start, c.stride, scratch)
      }
      return
    }
    #if ONEDNN
      if OneDNN.isUsed {
        let (ta, tb) = (CChar(a.transposed ? 84 : 78), CChar(b.transposed ? 84 : 78))  // T, N
        let status = dnnl_sgemm(
          ta, tb, dnnl_dim_t(m), dnnl_dim_t(n), dnnl_dim_t(k), factor, a.start,
          dnnl_dim_t(a.stride), b.start, dnnl_dim_t(b.stride), accumulating ? 1 : 0, c.start,
          dnnl_dim_t(c.stride))
        precondition(status == dnnl_success, "dnnl_sgemm: status \(status.rawValue)")
        return
      }
    #endif
    let (left, right) = (a.packed(m, k, factor), b.packed(k, n, 1))
    let product = Tensor.uninitialized([m, n])
    withExtendedLifetime((left, right, product)) {
      table.matrixProduct(left.input, right.input, m, n, k, false, product.output)
      for row in 0..<m {
        let (source, target) = (product.input + row * n, c.start + row * c.stride)
        if accumulating {
          table.float32.add(target, source, n, target)
        } else {
          target.update(from: source, count: n)
        }
      }
    }
  }
}

extension Kernel.Block {
  /// The block after its transposition.
  var strided: Strided {
    Strided(Input(start), row: transposed ? 1 : stride, column: transposed ? stride : 1)
  }

  /// The `rows` × `columns` block, times `factor`, in row-major order.
  func packed(_ rows: Int, _ columns: Int, _ factor: Float) -> Tensor {
    let result = Tensor.uninitialized([rows, columns])
    let target = result.output
    for row in 0..<rows {
      for column in 0..<columns {
        target[row * columns + column] =
          factor * start[transposed ? column * stride + row : row * stride + column]
      }
    }
    return result
  }
}

extension Operand {
  /// The operand's elements in row-major order.
  var packed: Tensor {
    guard transposed else { return matrix }
    let (rows, columns) = (matrix.shape.rows, matrix.shape.channels)
    let result = Tensor.uninitialized([columns, rows])
    let (source, target) = (matrix.input, result.output)
    for row in 0..<rows {
      for column in 0..<columns { target[column * rows + row] = source[row * columns + column] }
    }
    return result
  }
}
