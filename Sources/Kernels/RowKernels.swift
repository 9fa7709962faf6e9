public import LockstepKernelLoops
public import LockstepTensors

/// Which row norm: layer norm subtracts the mean, RMS norm does not.
public enum RowNormKind: Sendable { case layer, rms }

extension Kernel {
  /// Normalizes each row of `width` elements; see ``RowRule`` for the scale.
  ///
  /// - Returns: y in x's shape, and what the backward pass needs, `[4, rows]`.
  public static func rowNormalize(
    _ kind: RowNormKind, _ x: Tensor, width: Int, gain: Tensor, bias: Tensor, rule: RowRule
  ) -> (y: Tensor, saved: Tensor) {
    precondition(width > 0 && x.count % width == 0 && gain.count % width == 0)
    precondition(bias.count == gain.count)
    let rows = x.count / width
    let y = Tensor.uninitialized(x.shape)
    let saved = Tensor.uninitialized([4, rows])
    let loop = kind == .layer ? table.layerNormalize : table.rmsNormalize
    let scratch = Tensor.uninitialized([512])
    defer { withExtendedLifetime(scratch) {} }
    loop(
      x.input, rows, width, gain.count / width, gain.input, bias.input, rule, y.output,
      saved.output, scratch.output)
    return (y, saved)
  }

  /// The backward pass of ``rowNormalize``; dx is written over dy where `overwriting`.
  ///
  /// - Returns: dx, and the float64 sums Σ dy (layer norm only) and Σ dy·t·r that are the
  ///   gradients of bias and gain.
  public static func rowGradient(
    _ kind: RowNormKind, _ x: Tensor, _ dy: Tensor, width: Int, gain: Tensor, saved: Tensor,
    overwriting: Bool = false
  ) -> (dx: Tensor, dbias: ArraySlice<Double>, dgain: ArraySlice<Double>) {
    precondition(width > 0 && x.count % width == 0 && dy.count == x.count)
    let rows = x.count / width
    let parameters = gain.count
    precondition(saved.count == 4 * rows && parameters % width == 0)
    let dx = overwriting ? dy : .uninitialized(x.shape)
    let scratch = Tensor.uninitialized([2 * parameters + 512])
    defer { withExtendedLifetime(scratch) {} }
    let sums = Storage<Double>(count: 2 * parameters, filledWith: 0)
    let loop = kind == .layer ? table.layerGradient : table.rmsGradient
    loop(
      x.input, dy.input, rows, width, parameters / width, gain.input, saved.input, dx.output,
      sums.pointer, scratch.output)
    let all = sums.copy(0..<2 * parameters)
    return (dx, all[..<parameters], all[parameters...])
  }
}

extension Kernel {
  /// dx = gain · r · dy, with the rows' scales r that ``rowNormalize(_:_:width:gain:bias:rule:)``
  /// saved; `dx` may be `dy`.
  public static func rowScale(_ dy: Tensor, gain: Tensor, saved: Tensor, into dx: Tensor) {
    let (rows, width) = (dy.shape.rows, dy.shape.channels)
    precondition(gain.count == width && saved.count == 4 * rows && dx.count == dy.count)
    let (seed, output, gains, scales) = (dy.input, dx.output, gain.input, saved.input + 2 * rows)
    for row in 0..<rows {
      let (dy, dx, r) = (seed + row * width, output + row * width, scales[row])
      for i in 0..<width { dx[i] = dy[i] * gains[i] * r }
    }
  }
}
