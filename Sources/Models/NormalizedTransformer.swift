import LockstepAutograd
import LockstepKernels
import LockstepLayers
import LockstepNorms
import LockstepTensors

/// nGPT, the normalized transformer: hidden states, embeddings, the rows or columns of all weights,
/// queries and keys are unit vectors, and what a block finds turns the state a learned step of the
/// way.
///
///     h ← unit(h + α_A · (unit(attention(h)) − h))
///     h ← unit(h + α_M · (unit(MLP(h)) − h))
///
/// with learned α ≥ 0 by channel. Queries and keys are unit(q)·s, unit(k)·s with scores times √size; the
/// MLP gates s_u·u by SiLU(s_v·√C·v); logits are s_z·(E h). Weights are made unit again along the
/// hidden axis after each update. Positions are rotary; there is no bias, weight decay or warm-up.
///
/// Parameters carry nanoGPT's names, the scales `attn.s_qk`, `mlp.s_u`, `mlp.s_v`, `alpha_a`,
/// `alpha_m` and `s_z`.
///
/// Source: Loshchilov, Hsieh, Sun & Ginsburg, 2024, sections 2.1 to 2.6,
/// <https://arxiv.org/abs/2410.01131>.
public struct NormalizedTransformerSettings: Hashable, Sendable {
  /// The longest sequence.
  public var context: Int
  /// The channels.
  public var width: Int
  /// The attention heads, which divide the width into even sizes.
  public var heads: Int
  /// The blocks.
  public var layers: Int
  /// The feed-forward part's width.
  public var hidden: Int
  /// Whether the head's weight is the token embedding's.
  public var tiedEmbedding = false
  /// What α begins as.
  public var initialStep = 0.05

  /// An nGPT with the defaults of its paper.
  public init(context: Int, width: Int, heads: Int, layers: Int) {
    precondition(width % (2 * heads) == 0)
    self.context = context
    self.width = width
    self.heads = heads
    self.layers = layers
    hidden = 4 * width
  }

  /// What scales are stored as, so that the optimizer's steps suit them.
  fileprivate var storedScale: Float { 1 / Float(width).squareRoot() }
}

/// Weights of unit rows or columns, noted as a model's constraints.
private final class UnitWeights {
  private let build: ModelBuilder
  private let deviation: Float
  private(set) var constraints: [Constraint] = []

  init(_ build: ModelBuilder, width: Int) {
    self.build = build
    deviation = 1 / Float(width).squareRoot()
  }

  func weight(_ name: String, _ shape: Shape, byColumns: Bool = false) -> Weight {
    let parameter = Parameter("\(name).weight", build.normal(shape, deviation))
    constraints.append(Constraint(parameter: parameter, byColumns: byColumns))
    constraints.last?.apply()
    return Weight(parameter)
  }

  func linear(_ name: String, _ inputs: Int, _ outputs: Int, byColumns: Bool = false) -> Linear {
    Linear(name, weight(name, [outputs, inputs], byColumns: byColumns))
  }

  func unit(_ channels: Int) -> any Layer { build.norm("unit", channels: channels, as: .l2) }
}

/// Attention over unit queries and keys.
private struct NormalizedAttention: Layer {
  private let project: Linear
  private let scale: ChannelScale
  private let output: Linear
  private let unit: any Layer
  private let angles: Tensor
  private let attention: Attention

  var parameters: [Parameter] { project.parameters + scale.parameters + output.parameters }

  init(_ name: String, _ settings: NormalizedTransformerSettings, _ weights: UnitWeights) {
    let (width, size) = (settings.width, settings.width / settings.heads)
    project = weights.linear("\(name).c_attn", width, 3 * width)
    scale = ChannelScale("\(name).s_qk", channels: width, from: 1, stored: settings.storedScale)
    output = weights.linear("\(name).c_proj", width, width, byColumns: true)
    unit = weights.unit(size)
    angles = rotaryAngles(length: settings.context, size: size)
    attention = Attention(
      AttentionGeometry(heads: settings.heads, size: size, scale: Float(size).squareRoot()))
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let parts = tape.split(try project(x, on: tape), into: 3)
    let (q, k) = (try turned(parts[0], tape), try turned(parts[1], tape))
    return try output(tape.attention(q, k, parts[2], attention), on: tape)
  }

  private func turned(_ x: Variable, _ tape: Tape) throws -> Variable {
    let shape = x.value.shape
    let turned = tape.rotate(x, size: attention.geometry.size, angles: angles)
    let heads = tape.reshape(
      turned, [shape[0], shape[1], attention.geometry.heads, attention.geometry.size])
    return scale(tape.reshape(try unit(heads, on: tape), shape), on: tape)
  }
}

/// The gated feed-forward part.
private struct NormalizedFeedForward: Layer {
  private let gate: Linear
  private let widen: Linear
  private let gateScale: ChannelScale
  private let widenScale: ChannelScale
  private let output: Linear

  private var layers: [any Layer] { [widen, gate, widenScale, gateScale, output] }
  var parameters: [Parameter] { layers.flatMap(\.parameters) }

  init(_ name: String, _ settings: NormalizedTransformerSettings, _ weights: UnitWeights) {
    let (width, hidden) = (settings.width, settings.hidden)
    widen = weights.linear("\(name).c_fc", width, hidden)
    gate = weights.linear("\(name).c_gate", width, hidden)
    widenScale = ChannelScale("\(name).s_u", channels: hidden, from: 1, stored: 1)
    // A product of unit vectors has elements of 1/√C: √C brings the gate into SiLU's bend.
    gateScale = ChannelScale(
      "\(name).s_v", channels: hidden, from: Float(width).squareRoot(), stored: 1)
    output = weights.linear("\(name).c_proj", hidden, width, byColumns: true)
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let u = widenScale(try widen(x, on: tape), on: tape)
    let v = gateScale(try gate(x, on: tape), on: tape)
    return try output(tape.swiGLU(v, u), on: tape)
  }
}

/// One block: each part's finding turns the state.
private struct NormalizedBlock: Layer {
  private let attention: NormalizedAttention
  private let feedForward: NormalizedFeedForward
  private let attentionStep: ChannelScale
  private let feedForwardStep: ChannelScale
  private let unit: any Layer

  private var layers: [any Layer] { [attention, attentionStep, feedForward, feedForwardStep] }
  var parameters: [Parameter] { layers.flatMap(\.parameters) }

  init(_ name: String, _ settings: NormalizedTransformerSettings, _ weights: UnitWeights) {
    func step(_ part: String) -> ChannelScale {
      ChannelScale(
        "\(name).\(part)", channels: settings.width, from: Float(settings.initialStep),
        stored: settings.storedScale, isMagnitude: true)
    }
    attention = NormalizedAttention("\(name).attn", settings, weights)
    attentionStep = step("alpha_a")
    feedForward = NormalizedFeedForward("\(name).mlp", settings, weights)
    feedForwardStep = step("alpha_m")
    unit = weights.unit(settings.width)
  }

  func callAsFunction(_ h: Variable, on tape: Tape) throws -> Variable {
    func turned(_ h: Variable, to found: Variable, _ step: ChannelScale) throws -> Variable {
      let way = tape.subtract(try unit(found, on: tape), h)
      return try unit(tape.add(h, step(way, on: tape)), on: tape)
    }
    let y = try turned(h, to: attention(h, on: tape), attentionStep)
    return try turned(y, to: feedForward(y, on: tape), feedForwardStep)
  }
}

extension Model {
  /// An nGPT: tokens `[N, T]` to logits `[N, T, classes]`.
  public static func normalizedTransformer(
    _ settings: NormalizedTransformerSettings, _ context: ModelContext
  ) -> Model {
    let weights = UnitWeights(ModelBuilder(context), width: settings.width)
    let table: Shape = [context.classes, settings.width]
    let embedding = weights.weight("transformer.wte", table)
    var layers: [any Layer] = [Embedding("transformer.wte", embedding)]
    for block in 0..<settings.layers {
      layers.append(NormalizedBlock("transformer.h.\(block)", settings, weights))
    }
    layers += [
      Linear(
        "lm_head", settings.tiedEmbedding ? embedding : weights.weight("lm_head", table)),
      ChannelScale("s_z", channels: context.classes, from: 1, stored: settings.storedScale),
    ]
    return Model(layers, norms: [], constraints: weights.constraints)
  }
}
