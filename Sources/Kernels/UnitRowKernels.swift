import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

extension Kernel {
  /// y = gain · x · r of each row of `width` elements, with r = 1 / max(‖x‖, ε), or 0 where that
  /// has no value.
  ///
  /// Row i takes element i mod `gain.count` of the gain.
  ///
  /// - Returns: y in x's shape, and what the backward pass needs, `[2 · rows]`: every row's r, then
  ///   every row's k with d r/d x = −k · x.
  public static func unitRows(
    _ x: Tensor, width: Int, gain: Tensor, epsilon: Double, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Storage<Double>) {
    precondition(width > 0 && x.count % width == 0 && gain.count > 0)
    let rows = x.count / width
    let y = Tensor.uninitialized(x.shape, x.precision)
    let saved = Storage<Double>(count: 2 * rows)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.unitRows(
        E.source(x), rows, width, gain.input, gain.count, epsilon, epilogue.loop(E.self, of: y),
        E.target(y), saved.pointer)
    }
    run(x.element)
    return (y, saved)
  }

  /// The backward pass of ``unitRows(_:width:gain:epsilon:epilogue:)``.
  ///
  ///     dx = gain · (r · dy − x · k · Σ dy·x)
  ///
  /// - Returns: dx, and Σ dy · x · r over the rows of each element of the gain.
  public static func unitRowsGradient(
    _ x: Tensor, _ dy: OutputGradient, width: Int, gain: Tensor, saved: Storage<Double>
  ) -> (dx: Tensor, dgain: [Double]) {
    precondition(width > 0 && x.count % width == 0 && dy.dy.count == x.count)
    let rows = x.count / width
    precondition(saved.count == 2 * rows && gain.count > 0)
    let sums = Storage<Double>(count: gain.count, filledWith: 0)
    func run<E: TensorElement>(_: E.Type) {
      E.kernels.unitRowsGradient(
        E.source(x), E.source(dy.dy), rows, width, gain.input, gain.count, saved.pointer,
        dy.loop(E.self), E.target(dy.dx), sums.pointer)
    }
    run(x.element)
    return (dy.dx, sums.copy(0..<gain.count))
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
