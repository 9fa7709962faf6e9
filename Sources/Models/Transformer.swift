import LockstepAutograd
public import LockstepLayers
import LockstepNorms
import LockstepTensors

/// How a transformer knows positions.
public enum Positions: String, CaseIterable, Hashable, Sendable {
  /// A learned vector a position.
  case learned
  /// Queries and keys turned by their position (Su et al., 2021).
  case rotary
}

/// A decoder-only transformer: token and position embeddings, causal blocks, a last norm, and a
/// linear head.
///
/// Parameters carry nanoGPT's names: `transformer.wte`, `transformer.h.0.attn.c_attn`, ….
///
/// Source: Radford et al., 2019; Vaswani et al., 2017, <https://arxiv.org/abs/1706.03762>.
public struct TransformerSettings: Hashable, Sendable {
  /// The longest sequence.
  public var context: Int
  /// The channels.
  public var width: Int
  /// The attention heads, which divide the width.
  public var heads: Int
  /// The blocks.
  public var layers: Int
  /// The feed-forward part's width.
  public var hidden: Int
  /// The feed-forward part's activation; nil for SwiGLU.
  public var activation: Activation?
  /// How positions are known.
  public var positions = Positions.learned
  /// Whether the head's weight is the token embedding's.
  public var tiedEmbedding = true
  /// The probability of dropping an element after the embedding and after each part of a block.
  public var dropout = 0.0
  /// Where the blocks' norms stand.
  public var placement = Placement.pre
  /// The share of the blocks, rounded down to whole ones, that are post under ``Placement/mix``.
  public var mixShare = 0.25
  /// How blocks attend.
  public var attention = AttentionSettings()
  /// Whether the token embeddings are vectors of one learned length.
  public var fixesEmbeddingNorm = false
  /// Whether the vectors that reach the head are of one learned length.
  public var fixesOutputNorm = false

  /// A transformer with the defaults of GPT-2.
  public init(context: Int, width: Int, heads: Int, layers: Int) {
    precondition(width % heads == 0)
    self.context = context
    self.width = width
    self.heads = heads
    self.layers = layers
    hidden = 4 * width
    activation = .geluTanh
  }

  /// The deviation of initial weights.
  var deviation: Float { 0.02 }
  /// That of the projections that add to the residual stream, as GPT-2 scales it.
  var outputDeviation: Float { 0.02 / Float(2 * max(layers, 1)).squareRoot() }

  /// The placement of one block.
  package func placement(of block: Int) -> Placement {
    switch placement {
    // ⌊share · layers⌋, although 0.07 · 100 is above 7 in floating point and 0.29 · 100 below 29.
    case .mix: block < Int(mixShare * Double(layers) + 1e-9) ? .post : .pre
    case .hybridStar: block == 0 ? .hybridStar : .hybrid
    default: placement
    }
  }
}

extension Model {
  /// A transformer: tokens `[N, T]` to logits `[N, T, classes]`.
  public static func transformer(_ settings: TransformerSettings, _ context: ModelContext) -> Model
  {
    let build = ModelBuilder(context)
    let table = "transformer.wte"
    let vectors = build.normal([context.classes, settings.width], settings.deviation)
    let embedding =
      settings.fixesEmbeddingNorm
      ? FixNorm.weight(table, vectors) : Weight(Parameter("\(table).weight", vectors))
    var layers: [any Layer] = [Embedding(table, embedding)]
    if settings.positions == .learned {
      layers.append(
        PositionEmbedding(
          "transformer.wpe", build.normal([settings.context, settings.width], settings.deviation)))
    }
    if settings.placement == .peri {
      layers.append(
        build.norm("transformer.ln_e", channels: settings.width, positions: settings.context))
    }
    layers.append(build.dropout(settings.dropout))
    for block in 0..<settings.layers {
      layers.append(
        TransformerBlock(
          "transformer.h.\(block)", number: block + 1, settings.placement(of: block), settings,
          build))
    }
    // After post blocks the stream is normalized already.
    if settings.placement != .post {
      layers.append(
        build.norm("transformer.ln_f", channels: settings.width, positions: settings.context))
    }
    if settings.fixesOutputNorm {
      layers.append(
        FixNorm.layer(
          "transformer.fix_norm", channels: settings.width, epsilon: context.norm.epsilon))
    }
    layers.append(
      settings.tiedEmbedding
        ? Linear("lm_head", embedding)
        : build.linear(
          "lm_head", settings.width, context.classes, hasBias: false,
          standardDeviation: settings.deviation))
    return Model(layers, norms: build.norms)
  }
}
