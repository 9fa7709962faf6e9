import LockstepKernelLoops
public import LockstepTensors
import LockstepVectors

extension Kernel {
  /// The rows of `table` `[vocabulary, channels]` that `tokens` name, in the tokens' shape with
  /// channels, rounded to `precision`.
  public static func embedding(
    _ tokens: Tensor, _ table: Tensor, _ precision: Precision = .float32
  ) -> Tensor {
    let channels = table.shape.channels
    let y = Tensor.uninitialized(Shape(tokens.shape.dimensions + [channels]), precision)
    func run<E: TensorElement>(_: E.Type) {
      for i in 0..<tokens.count {
        let token = Int(tokens.input[i])
        precondition(token >= 0 && token < table.shape.rows, "token \(token)")
        E.kernels.narrow(table.input + token * channels, channels, E.target(y) + i * channels)
      }
    }
    run(y.element)
    return y
  }

  /// Adds each row of `dy` to the row of `gradient`, in float32, that its token names.
  public static func addEmbeddingGradient(_ tokens: Tensor, _ dy: Tensor, to gradient: Tensor) {
    let channels = gradient.shape.channels
    precondition(dy.count == tokens.count * channels)
    func run<E: TensorElement>(_: E.Type) {
      for i in 0..<tokens.count {
        let row = gradient.output + Int(tokens.input[i]) * channels
        E.kernels.accumulate(E.source(dy) + i * channels, channels, row)
      }
    }
    run(dy.element)
  }

  /// x `[N, T, channels]` with the first T rows of `positions`, in float32, added to each sample.
  public static func addPositions(_ x: Tensor, _ positions: Tensor) -> Tensor {
    let each = x.shape.positions * x.shape.channels
    precondition(positions.count >= each)
    let y = Tensor.uninitialized(x.shape, x.precision)
    func run<E: TensorElement>(_: E.Type) {
      for sample in 0..<x.shape[0] {
        E.kernels.addFloats(
          E.source(x) + sample * each, positions.input, each, E.target(y) + sample * each)
      }
    }
    run(x.element)
    return y
  }

  /// Adds every sample of `dy` `[N, T, channels]` to the first T rows of `gradient`, in float32.
  public static func addPositionsGradient(_ dy: Tensor, to gradient: Tensor) {
    let each = dy.shape.positions * dy.shape.channels
    func run<E: TensorElement>(_: E.Type) {
      for sample in 0..<dy.shape[0] {
        E.kernels.accumulate(E.source(dy) + sample * each, each, gradient.output)
      }
    }
    run(dy.element)
  }

  /// Turns the pairs (i, i + size/2) of each head's channels by its position's angles, or back where
  /// `inverse`.
  ///
  /// `angles` `[T, size / 2, 2]` holds cosine and sine, T at least the positions of `x`; `size` is even.
  /// Source: Su et al., 2021,
  /// <https://arxiv.org/abs/2104.09864>, eq. 34.
  public static func rotate(_ x: Tensor, size: Int, angles: Tensor, inverse: Bool) -> Tensor {
    let (length, channels) = (x.shape[1], x.shape.channels)
    precondition(
      size > 0 && size % 2 == 0 && channels % size == 0, "heads of \(size) of \(channels)")
    precondition(angles.count >= length * size, "\(length) positions, angles for fewer")
    let half = size / 2
    let y = Tensor.uninitialized(x.shape, x.precision)
    func run<E: TensorElement>(_: E.Type) {
      for row in 0..<x.shape.rows {
        let turn = angles.input + row % length * size
        for head in stride(from: 0, to: channels, by: size) {
          let a = E.source(x) + row * channels + head
          let b = E.target(y) + row * channels + head
          for i in 0..<half {
            let (c, s) = (turn[2 * i], inverse ? -turn[2 * i + 1] : turn[2 * i + 1])
            b[i] = E(a[i].float * c - a[i + half].float * s)
            b[i + half] = E(a[i].float * s + a[i + half].float * c)
          }
        }
      }
    }
    run(x.element)
    return y
  }
}
