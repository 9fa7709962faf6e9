import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

// Both precisions: what is written has the precision of what was read, unless a function says otherwise.

extension Kernel {
  /// a + b.
  public static func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    let y = Tensor.uninitialized(a.shape, a.precision)
    add(a, b, into: y)
    return y
  }

  /// y = a + b; `y` may be either of them.
  public static func add(_ a: Tensor, _ b: Tensor, into y: Tensor) {
    precondition(a.count == b.count && y.count == a.count, "\(a.shape) + \(b.shape)")
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.add(E.source(a), E.source(b), a.count, E.target(y))
    }
    run(a.element)
  }

  /// x in another precision; x itself where it has that precision.
  public static func converted(_ x: Tensor, to precision: Precision) -> Tensor {
    guard x.precision != precision else { return x }
    let y = Tensor.uninitialized(x.shape, precision)
    convert(x, into: y)
    return y
  }

  /// The elements of x in the precision of y.
  public static func convert(_ x: Tensor, into y: Tensor) {
    precondition(x.count == y.count, "\(x.shape) into \(y.shape)")
    switch (x.precision, y.precision) {
    case (.bfloat16, .float32):
      BFloat16.kernels.widen(BFloat16.source(x), x.count, y.output)
    case (.float32, .bfloat16):
      BFloat16.kernels.narrow(x.input, x.count, BFloat16.target(y))
    default: y.write(x)
    }
  }

  /// A function of every element.
  private static func map(_ x: Tensor, _ loop: some ElementLoop) -> Tensor {
    let y = Tensor.uninitialized(x.shape, x.precision)
    func run<E: TensorElement>(_: E.Type) { loop.run(E.source(x), x.count, E.target(y)) }
    run(x.element)
    return y
  }

  /// A function of every element of two tensors; written over the second where `overwriting`.
  private static func map(
    _ a: Tensor, _ b: Tensor, overwriting: Bool, _ loop: some PairLoop
  ) -> Tensor {
    precondition(a.count == b.count)
    let y = overwriting ? b : .uninitialized(b.shape, b.precision)
    func run<E: TensorElement>(_: E.Type) {
      loop.run(E.source(a), E.source(b), a.count, E.target(y))
    }
    run(a.element)
    return y
  }

  /// max(x, 0).
  public static func relu(_ x: Tensor) -> Tensor { map(x, ReLU()) }

  /// The gradient of ``relu(_:)`` from its output y; written over dy where `overwriting`.
  public static func reluGradient(output y: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    map(y, dy, overwriting: overwriting, ReLU())
  }

  /// x · Φ(x).
  public static func gelu(_ x: Tensor) -> Tensor { map(x, GELU()) }

  /// The gradient of ``gelu(_:)`` from its input x; written over dy where `overwriting`.
  public static func geluGradient(input x: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    map(x, dy, overwriting: overwriting, GELU())
  }

  /// x · (1 + tanh √(2/π)(x + 0.044715 x³)) / 2.
  public static func geluTanh(_ x: Tensor) -> Tensor { map(x, GELUTanh()) }

  /// The gradient of ``geluTanh(_:)`` from its input x; written over dy where `overwriting`.
  public static func geluTanhGradient(input x: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    map(x, dy, overwriting: overwriting, GELUTanh())
  }

  /// σ(x).
  public static func sigmoid(_ x: Tensor) -> Tensor { map(x, Sigmoid()) }

  /// The gradient of ``sigmoid(_:)`` from its output y; written over dy where `overwriting`.
  public static func sigmoidGradient(output y: Tensor, _ dy: Tensor, overwriting: Bool = false)
    -> Tensor
  {
    map(y, dy, overwriting: overwriting, Sigmoid())
  }

  /// a · σ(a) · b.
  public static func swiGLU(_ a: Tensor, _ b: Tensor) -> Tensor {
    map(a, b, overwriting: false, SwiGLU())
  }

  /// The gradients of both inputs of ``swiGLU(_:_:)``.
  public static func swiGLUGradient(_ a: Tensor, _ b: Tensor, _ dy: Tensor) -> (
    da: Tensor, db: Tensor
  ) {
    precondition(a.count == b.count && dy.count == a.count)
    let da = Tensor.uninitialized(a.shape, a.precision)
    let db = Tensor.uninitialized(a.shape, a.precision)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.swiGLUGradient(
        E.source(a), E.source(b), E.source(dy), a.count, E.target(da), E.target(db))
    }
    run(a.element)
    return (da, db)
  }

  /// x · factors, element by element, with factors in x's precision or in float32.
  public static func product(_ x: Tensor, _ factors: Tensor) -> Tensor {
    precondition(x.count == factors.count)
    let y = Tensor.uninitialized(x.shape, x.precision)
    func run<E: TensorElement, F: TensorElement>(_: E.Type, _: F.Type) {
      let (p, q, r) = (E.source(x), F.source(factors), E.target(y))
      for i in 0..<x.count { r[i] = E(p[i].float * q[i].float) }
    }
    run(x.element, factors.element)
    return y
  }

  /// The channels of `x` in `range`, as a tensor of their own.
  public static func columns(_ x: Tensor, _ range: Range<Int>) -> Tensor {
    let channels = x.shape.channels
    precondition(range.lowerBound >= 0 && range.upperBound <= channels)
    let y = Tensor.uninitialized(
      Shape(x.shape.dimensions.dropLast() + [range.count]), x.precision)
    func run<E: TensorElement>(_: E.Type) {
      for row in 0..<x.shape.rows {
        (E.target(y) + row * range.count).update(
          from: E.source(x) + row * channels + range.lowerBound, count: range.count)
      }
    }
    run(x.element)
    return y
  }

  /// Overwrites the channels of `y` from `first` on with those of `x`, which has as many rows.
  public static func write(_ x: Tensor, toColumns first: Int, of y: Tensor) {
    let (width, channels) = (x.shape.channels, y.shape.channels)
    precondition(x.shape.rows == y.shape.rows && first + width <= channels)
    func run<E: TensorElement>(_: E.Type) {
      for row in 0..<x.shape.rows {
        (E.target(y) + row * channels + first).update(
          from: E.source(x) + row * width, count: width)
      }
    }
    run(x.element)
  }

  /// x · factor, in place.
  public static func scale(_ x: Tensor, by factor: Float) {
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.scale(E.source(x), factor, x.count, E.target(x))
    }
    run(x.element)
  }

  /// Σ x², in float64.
  public static func sumOfSquares(_ x: Tensor) -> Double {
    func run<E: TensorElement>(_: E.Type) -> Double {
      E.kernels.sumOfSquares(E.source(x), x.count)
    }
    return run(x.element)
  }

  /// Adds the float32 row `bias` `[channels]` to every row of `x` `[rows, channels]`, in place.
  public static func addRow(_ bias: Tensor, to x: Tensor) {
    let channels = x.shape.channels
    precondition(bias.count == channels)
    func run<E: TensorElement>(_: E.Type) {
      for row in 0..<x.shape.rows {
        let p = E.target(x) + row * channels
        E.kernels.addFloats(UnsafePointer(p), bias.input, channels, p)
      }
    }
    run(x.element)
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

// A generic closure cannot be passed: these name the loop in both precisions.

private protocol ElementLoop {
  func run<E: TensorElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>)
}

private protocol PairLoop {
  func run<E: TensorElement>(_ a: Source<E>, _ b: Source<E>, _ count: Int, _ y: Target<E>)
}

private struct ReLU: ElementLoop, PairLoop {
  func run<E: TensorElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
    E.kernels.relu(x, count, y)
  }
  func run<E: TensorElement>(_ y: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>) {
    E.kernels.reluGradient(y, dy, count, dx)
  }
}

private struct GELU: ElementLoop, PairLoop {
  func run<E: TensorElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
    E.kernels.gelu(x, count, y)
  }
  func run<E: TensorElement>(_ x: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>) {
    E.kernels.geluGradient(x, dy, count, dx)
  }
}

private struct GELUTanh: ElementLoop, PairLoop {
  func run<E: TensorElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
    E.kernels.geluTanh(x, count, y)
  }
  func run<E: TensorElement>(_ x: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>) {
    E.kernels.geluTanhGradient(x, dy, count, dx)
  }
}

private struct Sigmoid: ElementLoop, PairLoop {
  func run<E: TensorElement>(_ x: Source<E>, _ count: Int, _ y: Target<E>) {
    E.kernels.sigmoid(x, count, y)
  }
  func run<E: TensorElement>(_ y: Source<E>, _ dy: Source<E>, _ count: Int, _ dx: Target<E>) {
    E.kernels.sigmoidGradient(y, dy, count, dx)
  }
}

private struct SwiGLU: PairLoop {
  func run<E: TensorElement>(_ a: Source<E>, _ b: Source<E>, _ count: Int, _ y: Target<E>) {
    E.kernels.swiGLU(a, b, count, y)
  }
}
