import LockstepAutograd
package import LockstepFiles
public import LockstepLayers
public import LockstepModels
public import LockstepNorms
public import LockstepTensors

/// The `model` section: a network and the norm at its norm sites.
public struct ModelConfiguration: Hashable, Sendable {
  /// The kind of network.
  public enum Kind: Hashable, Sendable {
    /// A multilayer perceptron with these hidden widths.
    case mlp(hidden: [Int])
    /// A residual network.
    case resNet(blocks: [Int], widths: [Int])
    /// A transformer.
    case transformer(TransformerSettings)
    /// A transformer whose states and weights are unit vectors.
    case nGPT(NormalizedTransformerSettings)
    /// Layers of long short-term memory.
    case lstm(LSTMSettings)
  }

  /// The shape of a sample and the number of classes.
  public struct InputDescription: Hashable, Sendable {
    /// `[height, width, channels]`.
    public var shape: Shape
    /// How many classes there are.
    public var classes: Int
  }

  /// The kind of network.
  public var kind: Kind
  /// The norm at every norm site.
  public var norm = NormSettings(.none)
  /// Whether the weights of linear layers and convolutions are trained by direction and length.
  public var weightNorm = false
  /// Whether the weights of convolutions are standardized.
  public var weightStandardization = false
  /// The activation.
  public var activation: Activation
  /// The input as the section describes it, in parity files; nil in a run, whose data describe themselves.
  public var input: InputDescription?

  /// Whether the section describes its input, as in parity files.
  private var describesInput = false

  private init(_ kind: Kind, activation: Activation = .relu) {
    (self.kind, self.activation) = (kind, activation)
  }

  /// Decodes the section of a parity file, which also describes the input.
  package init(describingInput node: ConfigurationNode, path: String) throws(ConfigurationError) {
    self.init(.mlp(hidden: []))
    try SectionCoder.readKind(node, path: path, into: &self, among: Self.kindsWithInput)
  }

  /// A model before its section is read.
  static let initial = ModelConfiguration(.mlp(hidden: []))

  /// The norm in one word; nGPT has its own unit vectors, called l2.
  public var normName: String {
    if case .nGPT = kind { NormKind.l2.rawValue } else { norm.kind.rawValue }
  }

  /// The length of the longest sequence that the model takes; nil if it takes images.
  public var context: Int? {
    switch kind {
    case .transformer(let settings): settings.context
    case .nGPT(let settings): settings.context
    case .lstm(let settings): settings.context
    case .mlp, .resNet: nil
    }
  }

  /// Builds the network for samples of shape `input`.
  public func make(
    input: Shape, classes: Int, seed: UInt64, synchronized: StatisticsScope = .thisRank
  ) -> Model {
    let context = ModelContext(
      input: input, classes: classes, seed: seed, norm: norm, weightNorm: weightNorm,
      weightStandardization: weightStandardization, synchronized: synchronized)
    return switch kind {
    case .mlp(let hidden): .mlp(MLPSettings(hidden: hidden, activation: activation), context)
    case .resNet(let blocks, let widths):
      .resNet(ResNetSettings(blocks: blocks, widths: widths, activation: activation), context)
    case .transformer(let settings): .transformer(settings, context)
    case .nGPT(let settings): .normalizedTransformer(settings, context)
    case .lstm(let settings): .lstm(settings, context)
    }
  }
}

extension ModelConfiguration: SectionOfKinds {
  static let kinds: [(name: String, initial: ModelConfiguration)] = [
    ("lstm", ModelConfiguration(.lstm(.initial))),
    ("mlp", ModelConfiguration(.mlp(hidden: []))),
    ("ngpt", ModelConfiguration(.nGPT(.initial))),
    ("resnet", ModelConfiguration(.resNet(blocks: [], widths: []))),
    ("transformer", ModelConfiguration(.transformer(.initial), activation: .geluTanh)),
  ]

  fileprivate static let kindsWithInput = kinds.map { name, initial in
    var model = initial
    model.describesInput = true
    return (name: name, initial: model)
  }

  var kindName: String {
    switch kind {
    case .mlp: "mlp"
    case .resNet: "resnet"
    case .transformer: "transformer"
    case .nGPT: "ngpt"
    case .lstm: "lstm"
    }
  }

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    let positive = ConfigurationLimits.extent
    switch kind {
    case .mlp(var hidden):
      try coder.ints("hidden", &hidden, in: positive)
      kind = .mlp(hidden: hidden)
    case .resNet(var blocks, var widths):
      try coder.ints("blocks", &blocks, in: ConfigurationLimits.depth)
      try coder.ints("widths", &widths, in: positive)
      if let section = coder.section, blocks.count != widths.count {
        throw ConfigurationError(
          section.place("widths"),
          "\(coder.path).blocks has \(blocks.count) stages and \(coder.path).widths \(widths.count), "
            + "expected equally many")
      }
      kind = .resNet(blocks: blocks, widths: widths)
    case .transformer(var settings):
      try settings.describe(&coder)
      kind = .transformer(settings)
    case .nGPT(var settings):
      try settings.describe(&coder)
      kind = .nGPT(settings)
    case .lstm(var settings):
      try settings.describe(&coder)
      kind = .lstm(settings)
    }
    if context == nil { try coder.choice("activation", &activation) }
    switch kind {
    case .nGPT: break  // It brings its own norms and its own constraint on weights.
    case .lstm:
      try coder.givenSection("norm", &norm)
      if let section = coder.section, let problem = LSTM.problem(norm.kind) {
        throw ConfigurationError(section.place("norm"), problem)
      }
    default:
      try coder.bool("weightNorm", &weightNorm)
      if case .resNet = kind {
        try coder.bool("weightStandardization", &weightStandardization)
        if let section = coder.section, weightNorm && weightStandardization {
          throw ConfigurationError(
            section.place("weightStandardization"),
            "\(coder.path).weightStandardization and weightNorm both say how a weight is computed; leave one out"
          )
        }
      }
      try coder.givenSection("norm", &norm)
    }
    if describesInput { try describeInput(&coder) }
  }

  private mutating func describeInput(_ coder: inout SectionCoder) throws(ConfigurationError) {
    let positive = ConfigurationLimits.extent
    var (size, channels, classes) = (1, 1, input?.classes ?? 0)
    if let context {
      try coder.int("vocabulary", &classes, isRequired: true, in: positive)
      input = InputDescription(shape: [context], classes: classes)
    } else {
      if let shape = input?.shape { (size, channels) = (shape[0], shape[2]) }
      try coder.int("imageSize", &size, isRequired: true, in: ConfigurationLimits.pixels)
      try coder.int("inputChannels", &channels, isRequired: true, in: ConfigurationLimits.pixels)
      try coder.int("classes", &classes, isRequired: true, in: positive)
      input = InputDescription(shape: [size, size, channels], classes: classes)
    }
  }
}

/// The `norm` section: it may hold the settings of all norms whatever the kind, so that changing the kind is
/// enough to switch a run to another norm.
extension NormSettings: DescribedSection {
  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.visit("kind", as: .of(kind.rawValue)) { section throws(ConfigurationError) in
      kind = NormKind(rawValue: try section.choice("kind", of: NormRegistry.names))
    }
    for setting in NormRegistry.settings {
      try coder.visit(setting.name, as: .of(setting.text(in: self))) {
        section throws(ConfigurationError) in
        try section.decode(setting, into: &self)
      }
    }
  }
}
