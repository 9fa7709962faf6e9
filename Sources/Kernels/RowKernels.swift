public import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

/// Which row norm: layer norm subtracts the mean, RMS norm does not.
public enum RowNormKind: Sendable { case layer, rms }

extension Kernel {
  /// Normalizes each row of `width` elements; see ``RowRule`` for the scale.
  ///
  /// - Returns: y in x's shape, and what the backward pass needs, `[4, rows]`.
  public static func rowNormalize(
    _ kind: RowNormKind, _ x: Tensor, width: Int, gain: Tensor, bias: Tensor, rule: RowRule,
    epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Tensor) {
    precondition(width > 0 && x.count % width == 0 && gain.count % width == 0)
    precondition(bias.count == gain.count)
    let rows = x.count / width
    let y = Tensor.uninitialized(x.shape, x.precision)
    let saved = Tensor.uninitialized([4, rows])
    let scratch = Tensor.uninitialized([512])
    defer { withExtendedLifetime(scratch) {} }
    func run<E: TensorElement>(_: E.Type) {
      let loop = kind == .layer ? E.kernels.layerNormalize : E.kernels.rmsNormalize
      loop(
        E.source(x), rows, width, gain.count / width, gain.input, bias.input, rule,
        epilogue.loop(E.self, of: y, width: width), E.target(y), saved.output, scratch.output)
    }
    run(x.element)
    return (y, saved)
  }

  /// The backward pass of ``rowNormalize``.
  ///
  /// - Returns: dx, and the float64 sums Σ dy (layer norm only) and Σ dy·t·r that are the
  ///   gradients of bias and gain.
  public static func rowGradient(
    _ kind: RowNormKind, _ x: Tensor, _ dy: OutputGradient, width: Int, gain: Tensor,
    saved: Tensor
  ) -> (dx: Tensor, dbias: ArraySlice<Double>, dgain: ArraySlice<Double>) {
    precondition(width > 0 && x.count % width == 0 && dy.dy.count == x.count)
    let rows = x.count / width
    let parameters = gain.count
    precondition(saved.count == 4 * rows && parameters % width == 0)
    let scratch = Tensor.uninitialized([2 * parameters + 528])
    defer { withExtendedLifetime(scratch) {} }
    let sums = Storage<Double>(count: 2 * parameters, filledWith: 0)
    func run<E: TensorElement>(_: E.Type) {
      let loop = kind == .layer ? E.kernels.layerGradient : E.kernels.rmsGradient
      loop(
        E.source(x), E.source(dy.dy), rows, width, parameters / width, gain.input, saved.input,
        dy.loop(E.self), E.target(dy.dx), sums.pointer, scratch.output)
    }
    run(x.element)
    let all = sums.copy(0..<2 * parameters)
    return (dy.dx, all[..<parameters], all[parameters...])
  }

  /// gain · tanh(α x) + bias, by channel.
  public static func dynamicTanh(_ x: Tensor, alpha: Float, gain: Tensor, bias: Tensor) -> Tensor {
    let width = x.shape.channels
    precondition(gain.count == width && bias.count == width)
    let y = Tensor.uninitialized(x.shape, x.precision)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.dynamicTanh(
        E.source(x), x.shape.rows, width, alpha, gain.input, bias.input, E.target(y))
    }
    run(x.element)
    return y
  }

  /// The backward pass of ``dynamicTanh(_:alpha:gain:bias:)``; dx is written over dy where `overwriting`.
  public static func dynamicTanhGradient(
    _ x: Tensor, _ dy: Tensor, alpha: Float, gain: Tensor, overwriting: Bool = false
  ) -> (dx: Tensor, dalpha: Double, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>) {
    let width = x.shape.channels
    precondition(gain.count == width && dy.count == x.count)
    let dx = overwriting ? dy : .uninitialized(x.shape, x.precision)
    let scratch = Tensor.uninitialized([2 * width])
    let sums = Storage<Double>(count: 2 * width, filledWith: 0)
    defer { withExtendedLifetime(scratch) {} }
    func run<E: TensorElement>(_: E.Type) -> Double {
      E.kernels.dynamicTanhGradient(
        E.source(x), E.source(dy), x.shape.rows, width, alpha, gain.input, E.target(dx),
        sums.pointer, scratch.output)
    }
    let dalpha = run(x.element)
    let all = sums.copy(0..<2 * width)
    return (dx, dalpha, all[..<width], all[width...])
  }

  /// dx = gain · r · dy, with the rows' scales r that
  /// ``rowNormalize(_:_:width:gain:bias:rule:epilogue:)`` saved; `dx` may be `dy`.
  public static func rowScale(_ dy: Tensor, gain: Tensor, saved: Tensor, into dx: Tensor) {
    let (rows, width) = (dy.shape.rows, dy.shape.channels)
    precondition(gain.count == width && saved.count == 4 * rows && dx.count == dy.count)
    let (gains, scales) = (gain.input, saved.input + 2 * rows)
    func run<E: TensorElement>(_: E.Type) {
      for row in 0..<rows {
        let (dy, dx) = (E.source(dy) + row * width, E.target(dx) + row * width)
        for i in 0..<width { dx[i] = E(dy[i].float * gains[i] * scales[row]) }
      }
    }
    run(dy.element)
  }
}
