import Glibc
public import LockstepAutograd
public import LockstepKernels
public import LockstepTensors

extension Tape {
  /// Causal attention of every head on queries, keys and values that lie side by side.
  ///
  ///     y = softmax(scale · q kᵀ) v,  each position seeing itself and those before it
  ///
  /// - Shapes: `qkv` `[N, T, 3 · heads · size]`, y `[N, T, heads · size]`.
  /// - Source: Vaswani et al., 2017, eq. 1, <https://arxiv.org/abs/1706.03762>; tiles as in Dao et
  ///   al., 2022, <https://arxiv.org/abs/2205.14135>.
  public func attention(_ qkv: Variable, _ attention: Attention) -> Variable {
    let x = qkv.value
    let width = attention.geometry.heads * attention.geometry.size
    let parts = (0..<3).map { HeadColumns(x, first: $0 * width) }
    let (y, logSums) = attention.forward(parts[0], parts[1], parts[2])
    return record(
      y,
      inputPullback: { [gradient = qkv.gradient] dy, _ in
        guard let gradient else { return }
        let dx = Tensor.uninitialized(x.shape, x.precision)
        attention.gradients(
          parts[0], parts[1], parts[2], y: y, logSums: logSums, dy,
          to: HeadColumns(dx), HeadColumns(dx, first: width), HeadColumns(dx, first: 2 * width))
        gradient.add(dx)
      })
  }

  /// Causal attention on queries, keys and values `[N, T, heads · size]` of their own.
  public func attention(
    _ q: Variable, _ k: Variable, _ v: Variable, _ attention: Attention
  ) -> Variable {
    let parts = [q, k, v].map { HeadColumns($0.value) }
    let (y, logSums) = attention.forward(parts[0], parts[1], parts[2])
    return record(
      y,
      inputPullback: { [gradients = [q.gradient, k.gradient, v.gradient]] dy, _ in
        let sums = parts.map {
          HeadColumns(.uninitialized($0.tensor.shape, $0.tensor.precision))
        }
        attention.gradients(
          parts[0], parts[1], parts[2], y: y, logSums: logSums, dy, to: sums[0],
          sums[1], sums[2])
        for (gradient, sum) in zip(gradients, sums) { gradient?.add(sum.tensor) }
      })
  }

  /// Cuts the channels of `x` into `count` equal parts.
  public func split(_ x: Variable, into count: Int) -> [Variable] {
    let width = x.value.shape.channels / count
    // The parts' gradients meet in one tensor. This entry comes before them, so that it flows back after them.
    let parts = JoinedColumns()
    let whole = record(
      x.value,
      inputPullback: { [gradient = x.gradient] dx, _ in
        for part in 0..<count where !parts.written.contains(part) {
          Kernel.write(
            .zeros([dx.shape.rows, width], dx.precision), toColumns: part * width, of: dx)
        }
        gradient?.add(dx)
      })
    return (0..<count).map { part in
      record(
        Kernel.columns(x.value, part * width..<(part + 1) * width),
        inputPullback: { [gradient = whole.gradient, shape = x.value.shape] dy, _ in
          if parts.written.isEmpty {
            let dx = Tensor.uninitialized(shape, dy.precision)
            parts.gradient = dx
            gradient?.add(dx)
          }
          if let dx = parts.gradient { Kernel.write(dy, toColumns: part * width, of: dx) }
          parts.written.insert(part)
          if parts.written.count == count { parts.gradient = nil }
        })
    }
  }

  /// The same elements under another shape.
  public func reshape(_ x: Variable, _ shape: Shape) -> Variable {
    record(
      x.value.reshaped(shape),
      inputPullback: { [gradient = x.gradient, before = x.value.shape] dy, _ in
        gradient?.add(dy.reshaped(before))
      })
  }

  /// Turns every head of `x` `[N, T, heads · size]` by the angles of its position.
  public func rotate(_ x: Variable, size: Int, angles: Tensor) -> Variable {
    record(
      Kernel.rotate(x.value, size: size, angles: angles, inverse: false),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(Kernel.rotate(dy, size: size, angles: angles, inverse: true))
      })
  }

  /// a · σ(a) · b, the gated unit of SwiGLU.
  public func swiGLU(_ a: Variable, _ b: Variable) -> Variable {
    record(
      Kernel.swiGLU(a.value, b.value),
      inputPullback: { [x = a.value, y = b.value, a = a.gradient, b = b.gradient] dy, _ in
        let (da, db) = Kernel.swiGLUGradient(x, y, dy)
        a?.add(da)
        b?.add(db)
      })
  }
}

/// The gradient of a tensor whose columns were split, while its parts' gradients come.
private final class JoinedColumns {
  var gradient: Tensor?
  var written: Set<Int> = []
}

/// The angles of rotary positions, `[length, size / 2, 2]`: cosine and sine of
/// position · 10000^(−2i / size).
public func rotaryAngles(length: Int, size: Int) -> Tensor {
  Tensor(
    (0..<length).flatMap { position in
      (0..<size / 2).flatMap { i -> [Float] in
        let angle = Double(position) * pow(10_000, -2 * Double(i) / Double(size))
        return [Float(cos(angle)), Float(sin(angle))]
      }
    }, shape: [length, size / 2, 2])
}
