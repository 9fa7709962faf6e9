public import Autograd
import Layers
public import Norms
public import Tensors

/// A place in a model where a norm stands.
public struct NormSite: Hashable, Sendable {
  /// The norm's name.
  public let name: String
  /// Its channels.
  public let channels: Int
  /// How many positions a sample has there: 1 where activations are `[N, C]`.
  public let positions: Int
}

/// A network for classification: samples in, logits out, one row of them for each label.
public struct Model: Layer {
  private let network: any Layer
  /// Where its norms stand, in order.
  public let normSites: [NormSite]
  /// All parameters, in registration order; one that layers share is there once.
  public let parameters: [Parameter]
  /// All running statistics.
  public let buffers: [Buffer]
  /// All counts.
  public let counters: [Counter]

  init(_ network: any Layer, normSites: [NormSite]) {
    self.network = network
    self.normSites = normSites
    var known: Set<ObjectIdentifier> = []
    // A tied parameter belongs to two layers.
    parameters = network.parameters.filter { known.insert(ObjectIdentifier($0)).inserted }
    buffers = network.buffers
    counters = network.counters
  }

  /// Applies the network: `[N, …]` to `[N, classes]`.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try network(x, on: tape)
  }
}

/// What every model has to be told.
public struct ModelContext {
  /// `[height, width, channels]` of one image, or `[T]` of one sequence of tokens.
  public let input: Shape
  /// How many logits.
  public let classes: Int
  /// Keys the initial values.
  public let seed: UInt64
  /// Over which ranks sync-batch norms take their statistics.
  public let synchronized: StatisticsScope

  /// Puts the context together.
  public init(input: Shape, classes: Int, seed: UInt64, synchronized: StatisticsScope) {
    self.input = input
    self.classes = classes
    self.seed = seed
    self.synchronized = synchronized
  }
}

/// Makes the parts of a model: each with its own stream of initial values, each norm's site noted.
final class ModelBuilder {
  private let norm: NormSettings
  private let context: ModelContext
  private var parts = 0
  private var dropouts = 0
  private var scaleGain: Parameter?
  private(set) var normSites: [NormSite] = []

  init(_ norm: NormSettings, _ context: ModelContext) {
    self.norm = norm
    self.context = context
  }

  /// The stream of the next part's initial values.
  private func nextStream() -> RandomStream {
    defer { parts += 1 }
    return RandomStream(seed: context.seed, site: .initialization, slot: parts)
  }

  func linear(_ name: String, _ inputs: Int, _ outputs: Int) -> Linear {
    var random = nextStream()
    return Linear(name, inputs: inputs, outputs: outputs, using: &random)
  }

  func linear(
    _ name: String, _ inputs: Int, _ outputs: Int, hasBias: Bool = true, standardDeviation: Float
  ) -> Linear {
    var random = nextStream()
    return Linear(
      name, inputs: inputs, outputs: outputs, hasBias: hasBias,
      standardDeviation: standardDeviation, using: &random)
  }

  func embedding(_ name: String, _ vocabulary: Int, _ channels: Int, _ deviation: Float)
    -> Embedding
  {
    var random = nextStream()
    return Embedding(
      name, vocabulary: vocabulary, channels: channels, standardDeviation: deviation,
      using: &random)
  }

  func positions(_ name: String, _ context: Int, _ channels: Int, _ deviation: Float)
    -> PositionEmbedding
  {
    var random = nextStream()
    return PositionEmbedding(
      name, context: context, channels: channels, standardDeviation: deviation, using: &random)
  }

  func dropout(_ probability: Double) -> Dropout {
    defer { dropouts += 1 }
    return Dropout(probability, index: dropouts)
  }

  /// A norm of a kind of its own, where the model's norm does not stand.
  func norm(_ name: String, channels: Int, as kind: NormKind) -> any Layer {
    var settings = NormSettings(kind)
    settings.epsilon = norm.epsilon
    return makeNorm(name, channels: channels, settings, synchronized: .thisRank)
  }

  func convolution(_ name: String, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int)
    -> Convolution2D
  {
    var random = nextStream()
    return Convolution2D(
      name, inputs: inputs, outputs: outputs, kernel: kernel, stride: stride,
      padding: (kernel - 1) / 2, using: &random)
  }

  func norm(_ name: String, channels: Int, positions: Int) -> any Layer {
    if norm.kind != .none {
      normSites.append(NormSite(name: name, channels: channels, positions: positions))
    }
    return makeNorm(
      name, channels: channels, norm, synchronized: context.synchronized,
      sharedGain: sharedGain(channels))
  }

  /// The one gain of all scale norms, from the channels of the first.
  private func sharedGain(_ channels: Int) -> Parameter? {
    guard norm.kind == .scale else { return nil }
    let gain = scaleGain ?? ScaleNorm.gain("scale_norm", channels: channels)
    scaleGain = gain
    return gain
  }
}
