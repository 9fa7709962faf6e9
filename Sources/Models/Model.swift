public import Autograd
import Kernels
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
  private let constraints: [Constraint]
  /// Where its norms stand, in order.
  public let normSites: [NormSite]
  /// All parameters, in registration order; one that layers share is there once.
  public let parameters: [Parameter]
  /// All running statistics.
  public let buffers: [Buffer]
  /// All counts.
  public let counters: [Counter]

  init(_ network: any Layer, normSites: [NormSite], constraints: [Constraint] = []) {
    self.network = network
    self.constraints = constraints
    self.normSites = normSites
    var known: Set<ObjectIdentifier> = []
    // A tied parameter belongs to two layers.
    parameters = network.parameters.filter { known.insert(ObjectIdentifier($0)).inserted }
    buffers = network.buffers
    counters = network.counters
  }

  /// Brings the parameters back to where the model wants them, after each update: nGPT's weights to
  /// unit length.
  public func applyConstraints() {
    for constraint in constraints { constraint.apply() }
  }

  /// Applies the network: `[N, …]` to `[N, classes]`.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try network(x, on: tape)
  }
}

/// A parameter whose rows, or columns, are kept at unit length.
struct Constraint {
  let parameter: Parameter
  let byColumns: Bool

  func apply() {
    Kernel.makeUnit(parameter.value, byColumns: byColumns)
    parameter.valueChanged()
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
  /// The norm at every norm site.
  public let norm: NormSettings
  /// Whether the weights of linear layers and convolutions are trained by direction and length.
  public let weightNorm: Bool
  /// Over which ranks sync-batch norms take their statistics.
  public let synchronized: StatisticsScope

  /// Puts the context together.
  public init(
    input: Shape, classes: Int, seed: UInt64, norm: NormSettings, weightNorm: Bool = false,
    synchronized: StatisticsScope = .thisRank
  ) {
    self.input = input
    self.classes = classes
    self.seed = seed
    self.norm = norm
    self.weightNorm = weightNorm
    self.synchronized = synchronized
  }
}

/// Makes the parts of a model: each with its own stream of initial values, each norm's site noted.
final class ModelBuilder {
  private let context: ModelContext
  private var parts = 0
  private var dropouts = 0
  private var scaleGain: Parameter?
  private(set) var normSites: [NormSite] = []

  init(_ context: ModelContext) { self.context = context }

  /// The next part's initial values, from a stream of its own.
  private func initial<Result>(_ draw: (inout RandomStream) -> Result) -> Result {
    defer { parts += 1 }
    var random = RandomStream(seed: context.seed, site: .initialization, slot: parts)
    return draw(&random)
  }

  private func weight(_ name: String, _ value: Tensor) -> Weight {
    context.weightNorm
      ? WeightNorm.weight(name, value) : Weight(Parameter("\(name).weight", value))
  }

  /// Uniform in ±1/√inputs, as PyTorch initializes it.
  func linear(_ name: String, _ inputs: Int, _ outputs: Int) -> Linear {
    initial { random in
      let bound = 1 / Float(inputs).squareRoot()
      let weight = weight(name, .uniform([outputs, inputs], bound, using: &random))
      return Linear(
        weight, bias: Parameter("\(name).bias", .uniform([outputs], bound, using: &random)))
    }
  }

  /// Normal with a given deviation and a bias of 0, as GPT-2 initializes it.
  func linear(
    _ name: String, _ inputs: Int, _ outputs: Int, hasBias: Bool = true, standardDeviation: Float
  ) -> Linear {
    Linear(
      weight(name, normal([outputs, inputs], standardDeviation)),
      bias: hasBias ? Parameter("\(name).bias", .zeros([outputs])) : nil)
  }

  /// Initial values of a part by itself.
  func normal(_ shape: Shape, _ deviation: Float) -> Tensor {
    initial { .normal(shape, standardDeviation: deviation, using: &$0) }
  }

  func dropout(_ probability: Double) -> Dropout {
    defer { dropouts += 1 }
    return Dropout(probability, index: dropouts)
  }

  func convolution(_ name: String, _ inputs: Int, _ outputs: Int, kernel: Int, stride: Int)
    -> Convolution2D
  {
    let value = initial {
      Convolution2D.initialWeight(inputs: inputs, outputs: outputs, kernel: kernel, using: &$0)
    }
    return Convolution2D(weight(name, value), stride: stride, padding: (kernel - 1) / 2)
  }

  /// The model's norm.
  func norm(_ name: String, channels: Int, positions: Int) -> any Layer {
    let norm = context.norm
    if norm.kind != .none {
      normSites.append(NormSite(name: name, channels: channels, positions: positions))
    }
    return makeNorm(
      name, channels: channels, norm, synchronized: context.synchronized,
      sharedGain: sharedGain(channels))
  }

  /// A norm of a kind of its own, where the model's norm does not stand.
  func norm(_ name: String, channels: Int, as kind: NormKind) -> any Layer {
    var settings = NormSettings(kind)
    settings.epsilon = context.norm.epsilon
    return makeNorm(name, channels: channels, settings, synchronized: .thisRank)
  }

  /// The one gain of all scale norms, from the channels of the first.
  private func sharedGain(_ channels: Int) -> Parameter? {
    guard context.norm.kind == .scale else { return nil }
    let gain = scaleGain ?? ScaleNorm.gain("scale_norm", channels: channels)
    scaleGain = gain
    return gain
  }
}
