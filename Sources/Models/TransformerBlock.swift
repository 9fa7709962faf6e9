import LockstepAutograd
import LockstepKernels
import LockstepLayers
import LockstepNorms
import LockstepTensors

/// Where the norms of a block stand: each case is one line of ``TransformerBlock``.
public enum Placement: String, CaseIterable, Hashable, Sendable {
  /// x + f(norm x): GPT-2's (Xiong et al., 2020, <https://arxiv.org/abs/2002.04745>).
  case pre
  /// norm(x + f(x)): the first transformer's (Vaswani et al., 2017).
  case post
  /// x + norm(f(x)) (OLMo Team, 2024, OLMo 2, <https://arxiv.org/abs/2501.00656>).
  case output
  /// x + f(norm(x) / √l) in the l-th block (Sun et al., 2025, LayerNorm Scaling,
  /// <https://arxiv.org/abs/2502.05795>).
  case scaled
  /// Sandwich, and a norm on the embedding as well (Kim et al., 2025, Peri-LN,
  /// <https://arxiv.org/abs/2502.02732>).
  case peri
  /// x + norm(f(norm x)) (Ding et al., 2021, <https://arxiv.org/abs/2105.13290>).
  case sandwich
  /// Post in the first share of the blocks, pre in the others (Li et al., 2025, Mix-LN,
  /// <https://arxiv.org/abs/2412.13795>).
  case mix
  /// x + attention(x) with norms on q, k and v; pre around the feed-forward part (Menary et al., 2024,
  /// <https://arxiv.org/abs/2406.17837>).
  case qkv
  /// Norms on q, k and v, post around the feed-forward part (Zhuo et al., 2025,
  /// <https://arxiv.org/abs/2503.04598>).
  case hybrid
  /// Hybrid, with the first block's attention on norm(x).
  case hybridStar = "hybrid-star"

  /// Whether layer norms stand on the queries, keys and values of each head.
  public var normalizesQueryKeyValue: Bool { [.qkv, .hybrid, .hybridStar].contains(self) }
}

/// The norm on the heads' queries and keys.
public enum QueryKeyNorm: String, CaseIterable, Hashable, Sendable {
  /// None.
  case none
  /// Unit vectors, whose products are divided by a learned temperature instead of √size (Henry et
  /// al., 2020, <https://arxiv.org/abs/2010.04245>).
  case l2
  /// Layer norm over each head's channels.
  case layer
  /// RMS norm over each head's channels.
  case rms

  var kind: NormKind? {
    switch self {
    case .none: nil
    case .l2: .l2
    case .layer: .layer
    case .rms: .rms
    }
  }
}

/// How a block attends.
public struct AttentionSettings: Hashable, Sendable {
  /// The norm on queries and keys.
  public var queryKeyNorm = QueryKeyNorm.none
  /// Whether layer norms stand on the projected queries, keys and values of each head, besides what
  /// the placement has; qkv and the hybrid placements always have them.
  public var normalizesQueryKeyValue = false
  /// Whether a layer norm stands on the attention's output, and one on the feed-forward part's
  /// (Rybakov et al., 2024, <https://arxiv.org/abs/2410.16682>).
  public var normalizesOutput = false
  /// Scores are capped to c · tanh(score / c); 0 for none.
  public var softCap = 0.0

  /// Plain attention.
  public init() {}
}

/// Attention over all heads: project, normalize and turn queries and keys, attend, project back.
struct SelfAttention: Layer {
  private let project: Linear
  private let output: Linear
  private let heads: Int
  private let queryNorm: (any Layer)?
  private let keyNorm: (any Layer)?
  private let valueNorm: (any Layer)?
  private let temperature: Temperature?
  private let outputNorm: (any Layer)?
  private let angles: Tensor?
  private let attention: Attention
  private let dropout: Dropout

  private var layers: [any Layer] {
    [project] + [queryNorm, keyNorm, valueNorm, temperature].compactMap(\.self) + [output]
      + [outputNorm].compactMap(\.self)
  }
  var parameters: [Parameter] { layers.flatMap(\.parameters) }

  init(
    _ name: String, _ settings: TransformerSettings, normalizesParts: Bool, _ build: ModelBuilder
  ) {
    let (width, size) = (settings.width, settings.width / settings.heads)
    heads = settings.heads
    let attention = settings.attention
    project = build.linear(
      "\(name).c_attn", width, 3 * width, standardDeviation: settings.deviation)
    let isWhole = attention.normalizesQueryKeyValue || normalizesParts
    func norm(_ part: String, _ kind: NormKind) -> any Layer {
      build.norm("\(name).\(part)", channels: size, as: kind)
    }
    let kind = isWhole ? .layer : attention.queryKeyNorm.kind
    temperature = kind == .l2 ? Temperature("\(name).temperature") : nil
    queryNorm = kind.map { norm("q_norm", $0) }
    keyNorm = kind.map { norm("k_norm", $0) }
    valueNorm = isWhole ? norm("v_norm", .layer) : nil
    output = build.linear(
      "\(name).c_proj", width, width, standardDeviation: settings.outputDeviation)
    outputNorm =
      attention.normalizesOutput
      ? build.norm("\(name).proj_norm", channels: width, as: .layer) : nil
    angles =
      settings.positions == .rotary ? rotaryAngles(length: settings.context, size: size) : nil
    self.attention = Attention(
      AttentionGeometry(
        heads: heads, size: size, scale: kind == .l2 ? 1 : 1 / Float(size).squareRoot(),
        cap: Float(attention.softCap)))
    dropout = build.dropout(settings.dropout)
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let qkv = try project(x, on: tape)
    let y: Variable
    if queryNorm == nil && angles == nil {
      y = tape.attention(qkv, attention)
    } else {
      let parts = tape.split(qkv, into: 3)
      let queries = try turned(parts[0], queryNorm, tape)
      let q = temperature?(queries, on: tape) ?? queries
      let k = try turned(parts[1], keyNorm, tape)
      let v = try perHead(parts[2], valueNorm, tape)
      y = tape.attention(q, k, v, attention)
    }
    let projected = try output(y, on: tape)
    return dropout(try outputNorm?(projected, on: tape) ?? projected, on: tape)
  }

  private func turned(_ x: Variable, _ norm: (any Layer)?, _ tape: Tape) throws -> Variable {
    let normalized = try perHead(x, norm, tape)
    return angles.map { tape.rotate(normalized, size: attention.geometry.size, angles: $0) }
      ?? normalized
  }

  /// Applies a norm to the channels of each head.
  private func perHead(_ x: Variable, _ norm: (any Layer)?, _ tape: Tape) throws -> Variable {
    guard let norm else { return x }
    let shape = x.value.shape
    let heads = tape.reshape(x, [shape[0], shape[1], heads, attention.geometry.size])
    return tape.reshape(try norm(heads, on: tape), shape)
  }
}

/// The feed-forward part: widen, activate or gate, project back.
struct FeedForward: Layer {
  private let gate: Linear?
  private let widen: Linear
  private let activation: Activation
  private let output: Linear
  private let outputNorm: (any Layer)?
  private let dropout: Dropout

  var parameters: [Parameter] {
    (gate?.parameters ?? []) + widen.parameters + output.parameters
      + (outputNorm?.parameters ?? [])
  }

  init(_ name: String, _ settings: TransformerSettings, _ build: ModelBuilder) {
    let (width, hidden) = (settings.width, settings.hidden)
    func linear(_ part: String) -> Linear {
      build.linear("\(name).\(part)", width, hidden, standardDeviation: settings.deviation)
    }
    gate = settings.activation == nil ? linear("c_gate") : nil
    widen = linear("c_fc")
    activation = settings.activation ?? .relu
    output = build.linear(
      "\(name).c_proj", hidden, width, standardDeviation: settings.outputDeviation)
    outputNorm =
      settings.attention.normalizesOutput
      ? build.norm("\(name).proj_norm", channels: width, as: .layer) : nil
    dropout = build.dropout(settings.dropout)
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    let wide = try widen(x, on: tape)
    let active =
      try gate.map { tape.swiGLU(try $0(x, on: tape), wide) } ?? activation(wide, on: tape)
    let projected = try output(active, on: tape)
    return dropout(try outputNorm?(projected, on: tape) ?? projected, on: tape)
  }
}

/// One block of a transformer.
struct TransformerBlock: Layer {
  private let placement: Placement
  /// 1 / √l in the l-th block.
  private let scale: Float
  private let norms: [any Layer]
  private let attention: SelfAttention
  private let feedForward: FeedForward

  /// nanoGPT's order: ln_1, attn, ln_2, mlp.
  private var layers: [any Layer] {
    [norms[0], attention, norms[1], feedForward] + norms[2...]
  }
  var parameters: [Parameter] { layers.flatMap(\.parameters) }
  var buffers: [Buffer] { layers.flatMap(\.buffers) }
  var counters: [Counter] { layers.flatMap(\.counters) }

  init(
    _ name: String, number: Int, _ placement: Placement, _ settings: TransformerSettings,
    _ build: ModelBuilder
  ) {
    self.placement = placement
    scale = 1 / Float(number).squareRoot()
    func norm(_ part: String) -> any Layer {
      build.norm("\(name).\(part)", channels: settings.width, positions: settings.context)
    }
    let first = placement == .hybrid || placement == .qkv ? Sequential([]) : norm("ln_1")
    attention = SelfAttention(
      "\(name).attn", settings,
      normalizesParts: placement.normalizesQueryKeyValue, build)
    norms =
      [first, norm("ln_2")]
      + ([.sandwich, .peri].contains(placement) ? [norm("ln_3"), norm("ln_4")] : [])
    feedForward = FeedForward("\(name).mlp", settings, build)
  }

  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    func attend(_ x: Variable) throws -> Variable { try attention(x, on: tape) }
    func feed(_ x: Variable) throws -> Variable { try feedForward(x, on: tape) }
    func norm(_ index: Int, _ x: Variable) throws -> Variable { try norms[index](x, on: tape) }
    switch placement {
    case .pre, .mix:
      let y = tape.add(x, try attend(norm(0, x)))
      return tape.add(y, try feed(norm(1, y)))
    case .qkv:
      let y = tape.add(x, try attend(x))
      return tape.add(y, try feed(norm(1, y)))
    case .post:
      let y = try norm(0, tape.add(x, attend(x)))
      return try norm(1, tape.add(y, feed(y)))
    case .output:
      let y = tape.add(x, try norm(0, attend(x)))
      return tape.add(y, try norm(1, feed(y)))
    case .scaled:
      let y = tape.add(x, try attend(tape.scale(norm(0, x), by: scale)))
      return tape.add(y, try feed(tape.scale(norm(1, y), by: scale)))
    case .sandwich, .peri:
      let y = tape.add(x, try norm(2, attend(norm(0, x))))
      return tape.add(y, try norm(3, feed(norm(1, y))))
    case .hybrid, .hybridStar:
      let y = try norm(1, tape.add(x, attend(norm(0, x))))
      return tape.add(y, try feed(y))
    }
  }
}
