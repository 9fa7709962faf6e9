public import LockstepAutograd
import LockstepLayers
import LockstepNorms
import LockstepTensors

/// A recurrent model of tokens: an embedding, layers of long short-term memory, and a linear head without a
/// bias.
///
/// Parameters are called `embedding.weight`, `lstm.` with PyTorch's names, and `lm_head.weight`. Dropout follows
/// the embedding and every layer, not the way from step to step (Zaremba et al., 2014,
/// <https://arxiv.org/abs/1409.2329>).
public struct LSTMSettings: Hashable, Sendable {
  /// The longest sequence in training; batch norms keep statistics of as many steps.
  public var context: Int
  /// The channels of tokens and of every layer.
  public var width: Int
  /// The layers.
  public var layers: Int
  /// Whether the head's weight is the token embedding's.
  public var tiedEmbedding = true
  /// The probability of dropping an element after the embedding and after each layer.
  public var dropout = 0.0

  /// A model with a tied embedding and without dropout.
  public init(context: Int, width: Int, layers: Int) {
    (self.context, self.width, self.layers) = (context, width, layers)
  }

  /// Embeddings and the head begin uniform in ± this, as in PyTorch's example of a language model.
  var bound: Float { 0.1 }
}

/// What a recurrent model carries from one part of a sequence to the next.
public final class RecurrentState {
  fileprivate let layers: [LSTM.State]

  fileprivate init(layers: Int) { self.layers = (0..<layers).map { _ in LSTM.State() } }

  /// How many tokens there were.
  public var steps: Int { layers.first?.steps ?? 0 }
}

/// The layers of an LSTM model.
struct LSTMNetwork: Layer {
  private let embedding: Embedding
  private let dropouts: [Dropout]
  private let layers: [LSTM]
  private let head: Linear

  var parameters: [Parameter] {
    embedding.parameters + layers.flatMap(\.parameters) + head.parameters
  }
  var buffers: [Buffer] { layers.flatMap(\.buffers) }
  var counters: [Counter] { layers.flatMap(\.counters) }

  init(_ settings: LSTMSettings, classes: Int, _ build: ModelBuilder) {
    func vectors() -> Tensor { build.uniform([classes, settings.width], settings.bound) }
    let table = Weight(Parameter("embedding.weight", vectors()))
    embedding = Embedding("embedding", table)
    layers = (0..<settings.layers).map {
      build.lstm("lstm", index: $0, settings.width, settings.width, context: settings.context)
    }
    dropouts = (0...settings.layers).map { _ in build.dropout(settings.dropout) }
    head = Linear(
      "lm_head",
      settings.tiedEmbedding ? table : Weight(Parameter("lm_head.weight", vectors())))
  }

  /// The state before the first token.
  var initialState: RecurrentState { RecurrentState(layers: layers.count) }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try self(x, carrying: initialState, on: tape)
  }

  func callAsFunction(_ x: Variable, carrying state: RecurrentState, on tape: Tape) throws
    -> Variable
  {
    var h = dropouts[0](try embedding(x, on: tape), on: tape)
    for (index, layer) in layers.enumerated() {
      h = dropouts[index + 1](try layer(h, carrying: state.layers[index], on: tape), on: tape)
    }
    return try head(h, on: tape)
  }
}

extension Model {
  /// An LSTM: tokens `[N, T]` to logits `[N, T, classes]`.
  ///
  /// - Precondition: the context's norm is one of ``LSTM/norms``.
  public static func lstm(_ settings: LSTMSettings, _ context: ModelContext) -> Model {
    let build = ModelBuilder(context)
    let network = LSTMNetwork(settings, classes: context.classes, build)
    return Model([network], norms: build.norms, recurrent: network)
  }

  /// What the model carries along a sequence, before the first token; nil unless it is recurrent.
  public var initialState: RecurrentState? { recurrent?.initialState }

  /// Applies a recurrent model to the next part of sequences, however long they have become.
  ///
  /// - Precondition: `state` comes from this model's ``initialState``.
  public func callAsFunction(
    _ x: Variable, carrying state: RecurrentState, on tape: Tape
  ) throws -> Variable {
    guard let recurrent else { preconditionFailure("the model is not recurrent") }
    return try recurrent(x, carrying: state, on: tape)
  }
}
