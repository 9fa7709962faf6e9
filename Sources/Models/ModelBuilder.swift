public import LockstepAutograd
import LockstepCollectives
import LockstepFiles
public import LockstepLayers
public import LockstepNorms
public import LockstepTensors
import LockstepWeightNorms

/// Makes the parts of a model: each with its own stream of initial values, each norm's site noted.
///
/// For a model of one's own, ``Model/init(input:seed:scopes:_:)`` hands out a builder that knows what shape
/// reaches the next part.
public final class ModelBuilder {
  private let context: ModelContext
  private let scopes: (StatisticsGroup) throws -> StatisticsScope
  /// The shape of one sample where the next part stands.
  public private(set) var shape: Shape
  /// What went wrong, to be thrown when the model is made.
  private(set) var problem: (any Error)?
  private var parts = 0
  private var dropouts = 0
  private let shared = SharedParameters()
  private(set) var norms: [PlacedNorm] = []

  init(
    _ context: ModelContext, scopes: ((StatisticsGroup) throws -> StatisticsScope)? = nil
  ) {
    self.context = context
    self.scopes = scopes ?? { _ in context.synchronized }
    shape = context.input
  }

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
        name, weight, bias: Parameter("\(name).bias", .uniform([outputs], bound, using: &random)))
    }
  }

  /// Normal with a given deviation and a bias of 0, as GPT-2 initializes it.
  func linear(
    _ name: String, _ inputs: Int, _ outputs: Int, hasBias: Bool = true, standardDeviation: Float
  ) -> Linear {
    Linear(
      name, weight(name, normal([outputs, inputs], standardDeviation)),
      bias: hasBias ? Parameter("\(name).bias", .zeros([outputs])) : nil)
  }

  /// Initial values of a part by itself.
  func normal(_ shape: Shape, _ deviation: Float) -> Tensor {
    initial { .normal(shape, standardDeviation: deviation, using: &$0) }
  }

  /// Initial values of a part by itself, uniform in ±`bound`.
  func uniform(_ shape: Shape, _ bound: Float) -> Tensor {
    initial { .uniform(shape, bound, using: &$0) }
  }

  /// A recurrent layer with the model's norm inside.
  func lstm(_ name: String, index: Int, _ inputs: Int, _ hidden: Int, context steps: Int) -> LSTM {
    let scope = scope(of: context.norm)
    let layer = initial {
      LSTM(
        name, index: index, inputs: inputs, hidden: hidden, context: steps, norm: context.norm,
        synchronized: scope, using: &$0)
    }
    for site in layer.normSites { note(site, context.norm, scope) }
    return layer
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
    let weight =
      context.weightStandardization
      ? WeightStandardization.weight(name, value) : weight(name, value)
    return Convolution2D(name, weight, stride: stride, padding: (kernel - 1) / 2)
  }

  /// The model's norm.
  func norm(_ name: String, channels: Int, positions: Int) -> any Layer {
    norm(NormSite(name, channels: channels, positions: positions), context.norm)
  }

  /// A norm in its place.
  func norm(_ site: NormSite, _ settings: NormSettings) -> any Layer {
    let scope = scope(of: settings)
    if settings.kind != .none { note(site, settings, scope) }
    return makeNorm(site, settings, NormScope(synchronized: scope, shared: shared))
  }

  /// The ranks that a norm takes its statistics over.
  private func scope(of settings: NormSettings) -> StatisticsScope {
    guard settings.synchronizes else { return .thisRank }
    do { return try scopes(settings.statisticsGroup) } catch {
      problem = problem ?? error
      return .thisRank
    }
  }

  private func note(_ site: NormSite, _ settings: NormSettings, _ scope: StatisticsScope) {
    norms.append(
      PlacedNorm(
        site: site, settings: settings, ranks: scope.communicator.size,
        coversAllRanks: scope.coversAllRanks, firstRanks: scope.firstRanks))
  }

  /// A norm of a kind of its own, where the model's norm does not stand.
  func norm(_ name: String, channels: Int, as kind: NormKind) -> any Layer {
    var settings = NormSettings(kind)
    settings.epsilon = context.norm.epsilon
    return makeNorm(NormSite(name, channels: channels), settings)
  }
}

extension ModelBuilder {
  /// Every sample as one row; of an image, channel by channel.
  public func flatten() -> Flatten {
    shape = [shape.count]
    return Flatten()
  }

  /// An affine map of each position's channels to `outputs` channels.
  public func linear(_ name: String, outputs: Int) -> Linear {
    defer { replaceChannels(by: outputs) }
    return linear(name, shape.channels, outputs)
  }

  /// A convolution of images `[H, W, C]` to `outputs` channels, padded so that a stride of 1 keeps their size.
  public func convolution(_ name: String, outputs: Int, kernel: Int = 3, stride: Int = 1)
    -> Convolution2D
  {
    precondition(shape.rank == 3, "a convolution of samples of shape \(shape)")
    let padding = (kernel - 1) / 2
    func size(_ extent: Int) -> Int { (extent + 2 * padding - kernel) / stride + 1 }
    defer { shape = [size(shape[0]), size(shape[1]), outputs] }
    return convolution(name, shape[2], outputs, kernel: kernel, stride: stride)
  }

  /// A norm.
  public func norm(_ name: String, _ settings: NormSettings) -> any Layer {
    guard NormRegistry[settings.kind] != nil else {
      problem =
        problem
        ?? ConfigurationError(
          name,
          "norm \"\(settings.kind.rawValue)\" is not registered"
            + suggestion(settings.kind.rawValue, NormRegistry.names))
      return Sequential([])
    }
    let positions = shape.count / max(shape.channels, 1)
    return norm(NormSite(name, channels: shape.channels, positions: positions), settings)
  }

  /// A norm by its default settings.
  public func norm(_ name: String, _ kind: NormKind) -> any Layer { norm(name, NormSettings(kind)) }

  /// The mean over all positions.
  public func averagePool() -> GlobalAveragePool {
    shape = [shape.channels]
    return GlobalAveragePool()
  }

  /// Drops elements at random in training.
  public func dropped(_ probability: Double) -> Dropout { dropout(probability) }

  private func replaceChannels(by outputs: Int) {
    shape = Shape(shape.dimensions.dropLast() + [outputs])
  }
}

/// Lists layers, one a line.
@resultBuilder public enum LayerList {
  /// One layer.
  public static func buildExpression(_ layer: any Layer) -> [any Layer] { [layer] }
  /// Several layers.
  public static func buildExpression(_ layers: [any Layer]) -> [any Layer] { layers }
  /// One after the other.
  public static func buildBlock(_ parts: [any Layer]...) -> [any Layer] { Array(parts.joined()) }
  /// What a condition adds.
  public static func buildOptional(_ part: [any Layer]?) -> [any Layer] { part ?? [] }
  /// Either.
  public static func buildEither(first: [any Layer]) -> [any Layer] { first }
  /// Or.
  public static func buildEither(second: [any Layer]) -> [any Layer] { second }
  /// What a loop adds.
  public static func buildArray(_ parts: [[any Layer]]) -> [any Layer] { Array(parts.joined()) }
}

extension Model {
  /// A model of one's own: the layers that `layers` lists, one after the other.
  ///
  /// - Parameters:
  ///   - input: The shape of one sample: `[height, width, channels]` of an image, `[T]` of a sequence.
  ///   - seed: Keys the initial values.
  ///   - scopes: The ranks over which a synchronized norm takes its statistics, by its statistics group.
  ///   - layers: Makes the layers with the builder that it is given, in their order.
  /// - Throws: what `scopes` throws; ``ConfigurationError`` for a norm that is not registered, and for layers of
  ///   the same name, whose states could not be told apart.
  public init(
    input: Shape, seed: UInt64,
    scopes: @escaping (StatisticsGroup) throws -> StatisticsScope = { _ in .thisRank },
    @LayerList _ layers: (ModelBuilder) -> [any Layer]
  ) throws {
    let context = ModelContext(input: input, classes: 0, seed: seed, norm: NormSettings(.none))
    let build = ModelBuilder(context, scopes: scopes)
    let list = Activated.joining(layers(build))
    if let problem = build.problem { throw problem }
    self.init(list, norms: build.norms, outputs: build.shape.channels)
    var owners: [String: ObjectIdentifier] = [:]
    let states =
      parameters.map { ($0.name, ObjectIdentifier($0)) }
      + buffers.map { ($0.name, ObjectIdentifier($0)) }
      + counters.map { ($0.name, ObjectIdentifier($0)) }
    // A layer that stands twice in the list shares its state with itself.
    for (name, owner) in states
    where owners.updateValue(owner, forKey: name).map({ $0 != owner }) ?? false {
      throw ConfigurationError(
        name, "there are two of this name; give each layer of the model a name of its own")
    }
  }
}
