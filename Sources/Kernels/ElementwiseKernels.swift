import LockstepKernelLoops
public import LockstepTensors

extension Kernel {
  /// a + b.
  public static func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    let y = Tensor.uninitialized(a.shape)
    add(a, b, into: y)
    return y
  }

  /// y = a + b; `y` may be either of them.
  public static func add(_ a: Tensor, _ b: Tensor, into y: Tensor) {
    precondition(a.count == b.count && y.count == a.count, "\(a.shape) + \(b.shape)")
    table.add(a.input, b.input, a.count, y.output)
  }

  /// max(x, 0).
  public static func relu(_ x: Tensor) -> Tensor {
    let y = Tensor.uninitialized(x.shape)
    table.relu(x.input, x.count, y.output)
    return y
  }

  /// The gradient of ``relu(_:)`` from its output y; written over dy where `overwriting`.
  public static func reluGradient(output y: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    precondition(y.count == dy.count)
    let dx = overwriting ? dy : .uninitialized(dy.shape)
    table.reluGradient(y.input, dy.input, y.count, dx.output)
    return dx
  }

  /// x · Φ(x).
  public static func gelu(_ x: Tensor) -> Tensor {
    let y = Tensor.uninitialized(x.shape)
    table.gelu(x.input, x.count, y.output)
    return y
  }

  /// The gradient of ``gelu(_:)`` from its input x; written over dy where `overwriting`.
  public static func geluGradient(input x: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    precondition(x.count == dy.count)
    let dx = overwriting ? dy : .uninitialized(dy.shape)
    table.geluGradient(x.input, dy.input, x.count, dx.output)
    return dx
  }

  /// x · (1 + tanh √(2/π)(x + 0.044715 x³)) / 2.
  public static func geluTanh(_ x: Tensor) -> Tensor {
    let y = Tensor.uninitialized(x.shape)
    table.geluTanh(x.input, x.count, y.output)
    return y
  }

  /// The gradient of ``geluTanh(_:)`` from its input x; written over dy where `overwriting`.
  public static func geluTanhGradient(input x: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    precondition(x.count == dy.count)
    let dx = overwriting ? dy : .uninitialized(dy.shape)
    table.geluTanhGradient(x.input, dy.input, x.count, dx.output)
    return dx
  }

  /// σ(x).
  public static func sigmoid(_ x: Tensor) -> Tensor {
    let y = Tensor.uninitialized(x.shape)
    table.sigmoid(x.input, x.count, y.output)
    return y
  }

  /// The gradient of ``sigmoid(_:)`` from its output y; written over dy where `overwriting`.
  public static func sigmoidGradient(output y: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    precondition(y.count == dy.count)
    let dx = overwriting ? dy : .uninitialized(dy.shape)
    table.sigmoidGradient(y.input, dy.input, y.count, dx.output)
    return dx
  }

  /// a · σ(a) · b.
  public static func swiGLU(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.count == b.count)
    let y = Tensor.uninitialized(a.shape)
    table.swiGLU(a.input, b.input, a.count, y.output)
    return y
  }

  /// The gradients of both inputs of ``swiGLU(_:_:)``.
  public static func swiGLUGradient(_ a: Tensor, _ b: Tensor, _ dy: Tensor) -> (
    da: Tensor, db: Tensor
  ) {
    precondition(a.count == b.count && dy.count == a.count)
    let (da, db) = (Tensor.uninitialized(a.shape), Tensor.uninitialized(a.shape))
    table.swiGLUGradient(a.input, b.input, dy.input, a.count, da.output, db.output)
    return (da, db)
  }

  /// a · b, element by element.
  public static func product(_ a: Tensor, _ b: Tensor) -> Tensor {
    precondition(a.count == b.count)
    let y = Tensor.uninitialized(a.shape)
    let (p, q, r) = (a.input, b.input, y.output)
    for i in 0..<a.count { r[i] = p[i] * q[i] }
    return y
  }

  /// The channels of `x` in `range`, as a tensor of their own.
  public static func columns(_ x: Tensor, _ range: Range<Int>) -> Tensor {
    let channels = x.shape.channels
    precondition(range.lowerBound >= 0 && range.upperBound <= channels)
    let y = Tensor.uninitialized(Shape(x.shape.dimensions.dropLast() + [range.count]))
    for row in 0..<x.shape.rows {
      (y.output + row * range.count).update(
        from: x.input + row * channels + range.lowerBound, count: range.count)
    }
    return y
  }

  /// A tensor of `shape` whose channels from `first` on are those of `x`, the others 0.
  public static func spreadColumns(_ x: Tensor, _ first: Int, shape: Shape) -> Tensor {
    let y = Tensor.zeros(shape)
    let (width, channels) = (x.shape.channels, shape.channels)
    precondition(x.shape.rows == shape.rows && first + width <= channels)
    for row in 0..<shape.rows {
      (y.output + row * channels + first).update(from: x.input + row * width, count: width)
    }
    return y
  }

  /// x · factor, in place.
  public static func scale(_ x: Tensor, by factor: Float) {
    table.scale(x.input, factor, x.count, x.output)
  }

  /// Σ x², in float64.
  public static func sumOfSquares(_ x: Tensor) -> Double { table.sumOfSquares(x.input, x.count) }

  /// Adds the row `bias` `[channels]` to every row of `x` `[rows, channels]`, in place.
  public static func addRow(_ bias: Tensor, to x: Tensor) {
    let channels = x.shape.channels
    precondition(bias.count == channels)
    for row in 0..<x.shape.rows {
      table.add(x.input + row * channels, bias.input, channels, x.output + row * channels)
    }
  }

  /// Adds float64 `sums` to the floats of `x`: how sums become gradients.
  public static func accumulate(_ sums: ArraySlice<Double>, into x: Tensor) {
    precondition(sums.count == x.count)
    var p = x.output
    for sum in sums {
      p.pointee = Float(Double(p.pointee) + sum)
      p += 1
    }
  }
}
