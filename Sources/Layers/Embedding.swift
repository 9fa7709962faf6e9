public import Autograd
import Kernels
public import Tensors

/// A learned vector for each token.
///
/// - Shapes: tokens `[N, T]`, whole numbers as floats, which are exact up to 2²⁴; table
///   `[vocabulary, channels]`; y `[N, T, channels]`.
public struct Embedding: Layer {
  /// The table, `[vocabulary, channels]`; an output layer may share it.
  public let table: Parameter

  /// The table.
  public var parameters: [Parameter] { [table] }

  /// Normal with a given deviation.
  public init(
    _ name: String, vocabulary: Int, channels: Int, standardDeviation: Float,
    using random: inout RandomStream
  ) {
    table = Parameter(
      "\(name).weight",
      .normal([vocabulary, channels], standardDeviation: standardDeviation, using: &random))
  }

  /// Looks every token up.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    let tokens = x.value
    return tape.record(
      Kernel.embedding(tokens, table.value), uses: parameters, inputPullback: { _, _ in },
      weightPullback: { [table] dy in
        table.contribute { gradient, accumulating in
          if !accumulating { gradient.fill(with: 0) }
          Kernel.addEmbeddingGradient(tokens, dy, to: gradient)
        }
      })
  }
}

/// A learned vector for each position, added to every sample.
///
/// - Shapes: x and y `[N, T, channels]`, table `[context, channels]` with T at most the context.
public struct PositionEmbedding: Layer {
  private let table: Parameter

  /// The table.
  public var parameters: [Parameter] { [table] }

  /// Normal with a given deviation.
  public init(
    _ name: String, context: Int, channels: Int, standardDeviation: Float,
    using random: inout RandomStream
  ) {
    table = Parameter(
      "\(name).weight",
      .normal([context, channels], standardDeviation: standardDeviation, using: &random))
  }

  /// Adds each position's vector.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    tape.record(
      Kernel.addPositions(x.value, table.value), uses: parameters,
      inputPullback: { [gradient = x.gradient] dy, _ in gradient?.add(dy) },
      weightPullback: { [table] dy in
        table.contribute { gradient, accumulating in
          if !accumulating { gradient.fill(with: 0) }
          Kernel.addPositionsGradient(dy, to: gradient)
        }
      })
  }
}
