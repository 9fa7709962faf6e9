import LockstepAutograd
package import LockstepFiles
public import LockstepLayers
public import LockstepModels
public import LockstepNorms
public import LockstepTensors

/// The `model` section: a network and the norm at its norm sites.
public struct ModelConfiguration: Hashable, Sendable {
  /// Which network.
  public enum Kind: Hashable, Sendable {
    /// A multilayer perceptron with these hidden widths.
    case mlp(hidden: [Int])
    /// A residual network.
    case resNet(blocks: [Int], widths: [Int])
    /// A transformer.
    case transformer(TransformerSettings)
    /// A transformer whose states and weights are unit vectors.
    case nGPT(NormalizedTransformerSettings)
  }

  /// The shape of a sample and the number of classes.
  public struct InputDescription: Hashable, Sendable {
    /// `[height, width, channels]`.
    public var shape: Shape
    /// How many classes there are.
    public var classes: Int
  }

  /// Which network.
  public var kind: Kind
  /// The norm at every norm site.
  public var norm: NormSettings
  /// Whether the weights of linear layers and convolutions are trained by direction and length.
  public var weightNorm: Bool
  /// The activation.
  public var activation: Activation
  /// What the section says of the data; a run's data say it themselves, parity files do not.
  public var input: InputDescription?

  package init(_ node: ConfigurationNode, path: String, describesInput: Bool = false)
    throws(ConfigurationError)
  {
    let shared = ["norm", "weightNorm", "activation"]
    let image = shared + (describesInput ? ["inputChannels", "imageSize", "classes"] : [])
    let text = describesInput ? ["vocabulary"] : []
    let own = [
      "mlp": ["hidden"] + image, "resnet": ["blocks", "widths"] + image,
      "transformer": shared + TransformerSettings.keys + text,
      "ngpt": NormalizedTransformerSettings.keys + text,
    ]
    let kind = try ConfigurationSection(
      node, path: path, keys: ["kind"] + Set(own.values.joined()).sorted()
    ).choice("kind", of: own.keys.sorted())
    let section = try ConfigurationSection(node, path: path, keys: ["kind"] + (own[kind] ?? []))
    let positive = ConfigurationLimits.extent
    norm =
      try section.node("norm").map { node throws(ConfigurationError) in
        try NormSettings(node, path: "\(path).norm")
      } ?? NormSettings(.none)
    weightNorm = try section.bool("weightNorm", default: false)
    activation =
      kind == "transformer"
      ? .geluTanh : try section.choice("activation", default: .relu)
    switch kind {
    case "transformer": self.kind = .transformer(try TransformerSettings(section, path: path))
    case "ngpt": self.kind = .nGPT(try NormalizedTransformerSettings(section, path: path))
    case "mlp": self.kind = .mlp(hidden: try section.ints("hidden", in: positive))
    default:
      let blocks = try section.ints("blocks", in: ConfigurationLimits.depth)
      let widths = try section.ints("widths", in: positive)
      guard blocks.count == widths.count else {
        throw ConfigurationError(
          section.place("widths"),
          "\(path).blocks has \(blocks.count) stages and \(path).widths \(widths.count), "
            + "expected as many")
      }
      self.kind = .resNet(blocks: blocks, widths: widths)
    }
    if describesInput, let context {
      input = InputDescription(
        shape: [context], classes: try section.int("vocabulary", in: positive))
    } else if describesInput {
      let size = try section.int("imageSize", in: positive)
      input = InputDescription(
        shape: [size, size, try section.int("inputChannels", in: positive)],
        classes: try section.int("classes", in: positive))
    }
  }

  /// The activation's name in a configuration.
  var activationName: String {
    if case .transformer(let settings) = kind { return settings.activation?.rawValue ?? "swiglu" }
    return activation.rawValue
  }

  /// The norm in a word: nGPT's unit vectors are its own.
  public var normName: String {
    if case .nGPT = kind { NormKind.l2.rawValue } else { norm.kind.rawValue }
  }

  /// The longest sequence that the model takes, or nil where it takes images.
  public var context: Int? {
    switch kind {
    case .transformer(let settings): settings.context
    case .nGPT(let settings): settings.context
    case .mlp, .resNet: nil
    }
  }

  /// Builds the network for samples of shape `input`.
  public func make(
    input: Shape, classes: Int, seed: UInt64, synchronized: StatisticsScope = .thisRank
  ) -> Model {
    let context = ModelContext(
      input: input, classes: classes, seed: seed, norm: norm, weightNorm: weightNorm,
      synchronized: synchronized)
    return switch kind {
    case .mlp(let hidden): .mlp(MLPSettings(hidden: hidden, activation: activation), context)
    case .resNet(let blocks, let widths):
      .resNet(ResNetSettings(blocks: blocks, widths: widths, activation: activation), context)
    case .transformer(let settings): .transformer(settings, context)
    case .nGPT(let settings): .normalizedTransformer(settings, context)
    }
  }
}

extension NormSettings {
  /// Decodes the `norm` section.
  ///
  /// Every norm's settings may be given whatever the kind, so that a run is moved to another norm
  /// by its kind alone.
  package init(_ node: ConfigurationNode, path: String) throws(ConfigurationError) {
    let settings = NormRegistry.settings
    let section = try ConfigurationSection(
      node, path: path, keys: ["kind"] + settings.map(\.name))
    self.init(NormKind(rawValue: try section.choice("kind", of: NormRegistry.names)))
    for setting in settings { try section.decode(setting, into: &self) }
  }

  /// The settings of all norms as a configuration gives them, in order.
  var pairs: [(key: String, value: String)] {
    [("kind", kind.rawValue)] + NormRegistry.settings.map { ($0.name, $0.text(in: self)) }
  }
}
