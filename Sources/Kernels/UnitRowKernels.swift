public import LockstepTensors

extension Kernel {
  /// y = gain · x · r of each row of `width` elements, with r = 1 / max(‖x‖, ε), or 0 where that
  /// has no value.
  ///
  /// Row i takes element i mod `gain.count` of the gain.
  ///
  /// - Returns: y in x's shape, and what the backward pass needs, `[2 · rows]`: every row's r, then
  ///   every row's k with d r/d x = −k · x.
  public static func unitRows(_ x: Tensor, width: Int, gain: Tensor, epsilon: Double) -> (
    y: Tensor, saved: Storage<Double>
  ) {
    precondition(width > 0 && x.count % width == 0 && gain.count > 0)
    let rows = x.count / width
    let y = Tensor.uninitialized(x.shape)
    let saved = Storage<Double>(count: 2 * rows)
    let (input, output, gains, scales) = (x.input, y.output, gain.input, saved.pointer)
    for row in 0..<rows {
      let (x, y) = (input + row * width, output + row * width)
      var squares = 0.0
      for i in 0..<width { squares += Double(x[i]) * Double(x[i]) }
      let length = squares.squareRoot()
      let divisor = max(length, epsilon)
      let r = divisor > 0 ? 1 / divisor : 0
      scales[row] = r
      // Below ε the divisor is a constant.
      scales[rows + row] = length >= epsilon ? r * r * r : 0
      let scale = Double(gains[row % gain.count]) * r
      for i in 0..<width { y[i] = Float(Double(x[i]) * scale) }
    }
    return (y, saved)
  }

  /// The backward pass of ``unitRows(_:width:gain:epsilon:)``; dx is written over dy where
  /// `overwriting`.
  ///
  ///     dx = gain · (r · dy − x · k · Σ dy·x)
  ///
  /// - Returns: dx, and Σ dy · x · r over the rows of each element of the gain.
  public static func unitRowsGradient(
    _ x: Tensor, _ dy: Tensor, width: Int, gain: Tensor, saved: Storage<Double>,
    overwriting: Bool = false
  ) -> (dx: Tensor, dgain: [Double]) {
    precondition(width > 0 && x.count % width == 0 && dy.count == x.count)
    let rows = x.count / width
    precondition(saved.count == 2 * rows && gain.count > 0)
    let dx = overwriting ? dy : .uninitialized(x.shape)
    var dgain = [Double](repeating: 0, count: gain.count)
    let (input, seed, output, gains) = (x.input, dy.input, dx.output, gain.input)
    for row in 0..<rows {
      let (x, dy, dx) = (input + row * width, seed + row * width, output + row * width)
      let (r, k) = (saved[row], saved[rows + row])
      var product = 0.0
      for i in 0..<width { product += Double(dy[i]) * Double(x[i]) }
      dgain[row % gain.count] += product * r
      let g = Double(gains[row % gain.count])
      let (scale, slope) = (g * r, g * k * product)
      for i in 0..<width { dx[i] = Float(Double(dy[i]) * scale - Double(x[i]) * slope) }
    }
    return (dx, dgain)
  }

  /// The Euclidean norm of each row of `width` elements.
  public static func rowLengths(_ x: Tensor, width: Int) -> [Double] {
    precondition(width > 0 && x.count % width == 0)
    return (0..<x.count / width).map { row in
      sumOfSquares(x.part(row, shape: [width])).squareRoot()
    }
  }

  /// Divides every row of a matrix, or every column, by its Euclidean norm, in place; zeros stay.
  public static func makeUnit(_ x: Tensor, byColumns: Bool) {
    let (rows, columns) = (x.shape[0], x.shape[1])
    let p = x.output
    for line in 0..<(byColumns ? columns : rows) {
      let (start, step, count) =
        byColumns ? (line, columns, rows) : (line * columns, 1, columns)
      var squares = 0.0
      for i in 0..<count { squares += Double(p[start + i * step]) * Double(p[start + i * step]) }
      guard squares > 0 else { continue }
      let scale = 1 / squares.squareRoot()
      for i in 0..<count { p[start + i * step] = Float(Double(p[start + i * step]) * scale) }
    }
  }
}
