public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// A learned vector for each token.
///
/// - Shapes: tokens `[N, T]`, whole numbers as floats, which are exact up to 2²⁴; table
///   `[vocabulary, channels]`; y `[N, T, channels]`.
public struct Embedding: Layer {
  private let name: LayerName
  private let table: Weight

  /// The table's.
  public var parameters: [Parameter] { table.parameters }

  /// An embedding by `table` `[vocabulary, channels]`, which an output layer may share.
  public init(_ name: String, _ table: Weight) {
    self.name = LayerName(name)
    self.table = table
  }

  /// Looks every token up.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let tokens = x.value
    let table = try table.use(on: tape)
    return tape.record(
      Kernel.embedding(tokens, table.value, tape.precision), by: name, uses: table.parameters,
      inputPullback: { _, _ in },
      weightPullback: { dy in
        table.contribute { gradient, accumulating in
          if !accumulating { gradient.fill(with: 0) }
          Kernel.addEmbeddingGradient(tokens, dy, to: gradient)
        }
      }, mayDefer: table.isParameter)
  }
}

/// A learned vector for each position, added to every sample.
///
/// - Shapes: x and y `[N, T, channels]`, table `[context, channels]` with T at most the context.
public struct PositionEmbedding: Layer {
  private let name: LayerName
  private let table: Parameter

  /// The table.
  public var parameters: [Parameter] { [table] }

  /// A table that begins as `vectors` `[context, channels]`.
  public init(_ name: String, _ vectors: Tensor) {
    self.name = LayerName(name)
    table = Parameter("\(name).weight", vectors)
  }

  /// Adds each position's vector.
  public func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
    tape.record(
      Kernel.addPositions(x.value, table.value), by: name, uses: parameters,
      inputPullback: { [gradient = x.gradient] dy, _ in gradient?.add(dy) },
      weightPullback: { [table] dy in
        table.contribute { gradient, accumulating in
          if !accumulating { gradient.fill(with: 0) }
          Kernel.addPositionsGradient(dy, to: gradient)
        }
      })
  }
}
