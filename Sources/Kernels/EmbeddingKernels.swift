import LockstepKernelLoops
public import LockstepTensors

extension Kernel {
  /// The rows of `table` `[vocabulary, channels]` that `tokens` name, in the tokens' shape with
  /// channels.
  public static func embedding(_ tokens: Tensor, _ table: Tensor) -> Tensor {
    let channels = table.shape.channels
    let y = Tensor.uninitialized(Shape(tokens.shape.dimensions + [channels]))
    for i in 0..<tokens.count {
      let token = Int(tokens.input[i])
      precondition(token >= 0 && token < table.shape.rows, "token \(token)")
      (y.output + i * channels).update(from: table.input + token * channels, count: channels)
    }
    return y
  }

  /// Adds each row of `dy` to the row of `gradient` that its token names.
  public static func addEmbeddingGradient(_ tokens: Tensor, _ dy: Tensor, to gradient: Tensor) {
    let channels = gradient.shape.channels
    precondition(dy.count == tokens.count * channels)
    for i in 0..<tokens.count {
      let row = gradient.output + Int(tokens.input[i]) * channels
      table.add(row, dy.input + i * channels, channels, row)
    }
  }

  /// x `[N, T, channels]` with the first T rows of `positions` added to each sample.
  public static func addPositions(_ x: Tensor, _ positions: Tensor) -> Tensor {
    let each = x.shape.positions * x.shape.channels
    precondition(positions.count >= each)
    let y = Tensor.uninitialized(x.shape)
    for sample in 0..<x.shape[0] {
      table.add(x.input + sample * each, positions.input, each, y.output + sample * each)
    }
    return y
  }

  /// Adds every sample of `dy` `[N, T, channels]` to the first T rows of `gradient`.
  public static func addPositionsGradient(_ dy: Tensor, to gradient: Tensor) {
    let each = dy.shape.positions * dy.shape.channels
    for sample in 0..<dy.shape[0] {
      table.add(gradient.output, dy.input + sample * each, each, gradient.output)
    }
  }

  /// Turns the pairs (i, i + size/2) of each head's channels by its position's angles, or back where
  /// `inverse`.
  ///
  /// `angles` `[T, size / 2, 2]` holds cosine and sine. Source: Su et al., 2021,
  /// <https://arxiv.org/abs/2104.09864>, eq. 34.
  public static func rotate(_ x: Tensor, size: Int, angles: Tensor, inverse: Bool) -> Tensor {
    let (length, channels) = (x.shape[1], x.shape.channels)
    let half = size / 2
    let y = Tensor.uninitialized(x.shape)
    for row in 0..<x.shape.rows {
      let turn = angles.input + row % length * size
      for head in stride(from: 0, to: channels, by: size) {
        let (a, b) = (x.input + row * channels + head, y.output + row * channels + head)
        for i in 0..<half {
          let (c, s) = (turn[2 * i], inverse ? -turn[2 * i + 1] : turn[2 * i + 1])
          b[i] = a[i] * c - a[i + half] * s
          b[i + half] = a[i] * s + a[i + half] * c
        }
      }
    }
    return y
  }
}
