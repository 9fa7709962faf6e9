import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

/// What normalizes one channel of a column norm, a `[channels]` tensor each: the mean as
/// K + d, K a float and d what it leaves of the mean.
public struct ColumnCenter: Sendable {
  /// K, the mean rounded to a float.
  public let center: Tensor
  /// d, the mean less K.
  public let offset: Tensor

  /// Room for the means of `count` channels.
  public init(count: Int) {
    center = .uninitialized([count])
    offset = .uninitialized([count])
  }

  /// Splits each mean into what a float holds of it and the rest.
  public init(_ means: [Double]) {
    self.init(count: means.count)
    write(means)
  }

  private init(center: Tensor, offset: Tensor) {
    self.center = center
    self.offset = offset
  }

  /// Sets the mean of every channel.
  public func write(_ means: [Double]) {
    precondition(means.count == center.count)
    let (k, d) = (center.output, offset.output)
    for c in means.indices {
      k[c] = Float(means[c])
      d[c] = Float(means[c] - Double(k[c]))
    }
  }

  /// The view of the channels from `first` on that fill `shape`.
  public func channels(_ first: Int, shape: Shape) -> ColumnCenter {
    ColumnCenter(
      center: Tensor(center.storage, offset: center.offset + first, shape: shape),
      offset: Tensor(offset.storage, offset: offset.offset + first, shape: shape))
  }
}

extension Kernel {
  /// Adds to `sums` `[2 · channels]` Σ (x − shift), then Σ (x − shift)², over rows, in float64.
  public static func addColumnMoments(_ x: Tensor, shift: Tensor, to sums: Storage<Double>) {
    let (rows, channels) = (x.shape.rows, x.shape.channels)
    precondition(shift.count == channels && sums.count >= 2 * channels)
    guard x.count > 0 else { return }
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.columnMoments(E.source(x), rows, channels, shift.input, sums.pointer)
    }
    run(x.element)
  }

  /// `((x − K) − d) · scale + bias` by column, and what the epilogue makes of it.
  public static func columnNormalize(
    _ x: Tensor, _ mean: ColumnCenter, scale: Tensor, bias: Tensor,
    epilogue: NormEpilogue = .none, into y: Tensor
  ) {
    let (rows, channels) = (x.shape.rows, x.shape.channels)
    precondition(mean.center.count == channels && scale.count == channels)
    precondition(bias.count == channels && y.count == x.count)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.columnNormalize(
        E.source(x), rows, channels, mean.center.input, mean.offset.input, scale.input,
        bias.input, epilogue.loop(E.self, of: y), E.target(y))
    }
    run(x.element)
  }

  /// Adds to `sums` `[2 · channels]` Σ dy, then Σ dy·((x − K) − d), over rows, in float64, of what
  /// passes of dy, which is written.
  public static func addColumnGradientSums(
    _ x: Tensor, _ dy: OutputGradient, _ mean: ColumnCenter, to sums: Storage<Double>
  ) {
    let (rows, channels) = (x.shape.rows, x.shape.channels)
    precondition(mean.center.count == channels && dy.dy.count == x.count)
    precondition(sums.count >= 2 * channels)
    guard x.count > 0 else { return }
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.columnGradientSums(
        E.source(x), E.source(dy.dy), rows, channels, mean.center.input, mean.offset.input,
        dy.loop(E.self), sums.pointer)
    }
    run(x.element)
  }

  /// `scale · dy − shift − ((x − K) − d) · inverse · slope` by column, with 1 / deviation as `inverse`,
  /// of what passed of dy when ``addColumnGradientSums(_:_:_:to:)`` was called.
  ///
  /// - Returns: dx.
  public static func columnGradient(
    _ x: Tensor, _ dy: OutputGradient, _ mean: ColumnCenter, inverse: Tensor, scale: Tensor,
    shift: Tensor, slope: Tensor
  ) -> Tensor {
    columnGradient(
      x, dy.passed, mean, inverse: inverse, scale: scale, shift: shift, slope: slope, into: dy.dx)
    return dy.dx
  }

  /// The same of dy itself; `dx` may be `dy`.
  public static func columnGradient(
    _ x: Tensor, _ dy: Tensor, _ mean: ColumnCenter, inverse: Tensor, scale: Tensor, shift: Tensor,
    slope: Tensor, into dx: Tensor
  ) {
    let (rows, channels) = (x.shape.rows, x.shape.channels)
    precondition(mean.center.count == channels && dy.count == x.count && dx.count == x.count)
    precondition([inverse, scale, shift, slope].allSatisfy { $0.count == channels })
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.columnGradient(
        E.source(x), E.source(dy), rows, channels, mean.center.input, mean.offset.input,
        inverse.input, scale.input, shift.input, slope.input, E.target(dx))
    }
    run(x.element)
  }

  /// Σ x over rows, in float64.
  public static func columnSums(_ x: Tensor) -> [Double] {
    let sums = Storage<Double>(count: x.shape.channels, filledWith: 0)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.columnSums(E.source(x), x.shape.rows, x.shape.channels, sums.pointer)
    }
    run(x.element)
    return sums.copy(0..<sums.count)
  }
}

/// The rows of a matrix that count, for padded sequences.
extension Kernel {
  /// The rows of `x` `[…, channels]` at `indices`, as `[indices.count, channels]`.
  public static func gatherRows(_ x: Tensor, _ indices: [Int]) -> Tensor {
    let channels = x.shape.channels
    let y = Tensor.uninitialized([indices.count, channels], x.precision)
    func run<E: TensorElement>(_: E.Type) {
      for (row, index) in indices.enumerated() {
        precondition(index >= 0 && index < x.shape.rows)
        (E.target(y) + row * channels).update(
          from: E.source(x) + index * channels, count: channels)
      }
    }
    run(x.element)
    return y
  }

  /// A tensor of `shape` whose rows at `indices` are those of `x`, and 0 elsewhere.
  public static func scatterRows(_ x: Tensor, _ indices: [Int], shape: Shape) -> Tensor {
    let channels = shape.channels
    precondition(x.shape.channels == channels && x.shape.rows == indices.count)
    let y = Tensor.zeros(shape, x.precision)
    func run<E: TensorElement>(_: E.Type) {
      for (row, index) in indices.enumerated() {
        precondition(index >= 0 && index < shape.rows)
        (E.target(y) + index * channels).update(
          from: E.source(x) + row * channels, count: channels)
      }
    }
    run(x.element)
    return y
  }
}
