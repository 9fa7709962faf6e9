package import LockstepFiles
import LockstepLayers
import LockstepModels

extension TransformerSettings {
  /// The keys of a transformer's section, besides those of every model.
  static let keys = [
    "context", "width", "heads", "layers", "hidden", "positions", "tiedEmbedding", "dropout",
    "placement", "mixShare", "attention", "fixNorm",
  ]

  /// Decodes a transformer's part of the `model` section.
  package init(_ section: ConfigurationSection, path: String)
    throws(ConfigurationError)
  {
    let positive = ConfigurationLimits.extent
    let (width, heads) = try section.heads(path: path)
    self.init(
      context: try section.int("context", in: positive), width: width, heads: heads,
      layers: try section.int("layers", in: ConfigurationLimits.depth))
    positions = try section.choice("positions", default: positions)
    if positions == .rotary {
      try section.checkPairs(width / heads, at: "positions", path: path)
    }
    let gated = "swiglu"
    let name = try section.choice(
      "activation", of: Activation.allCases.map(\.rawValue) + [gated],
      default: Activation.geluTanh.rawValue)
    activation = name == gated ? nil : Activation(rawValue: name) ?? .geluTanh
    // SwiGLU has three matrices: two thirds of the width give it as many parameters.
    let usual = name == gated ? (8 * width / 3 + 15) / 16 * 16 : 4 * width
    hidden = try section.int("hidden", default: usual, in: ConfigurationLimits.count)
    tiedEmbedding = try section.bool("tiedEmbedding", default: tiedEmbedding)
    dropout = try section.double("dropout", default: 0, in: 0...0.99)
    placement = try section.choice("placement", default: placement)
    mixShare = try section.double("mixShare", default: mixShare, in: 0...1)
    let fixNorm = try ConfigurationSection(
      section.nodeOrEmpty("fixNorm"), path: "\(path).fixNorm", keys: ["embedding", "output"])
    fixesEmbeddingNorm = try fixNorm.bool("embedding", default: false)
    fixesOutputNorm = try fixNorm.bool("output", default: false)
    let part = try ConfigurationSection(
      section.nodeOrEmpty("attention"), path: "\(path).attention",
      keys: ["queryKeyNorm", "queryKeyValueNorm", "outputNorm", "softCap"])
    attention.queryKeyNorm = try part.choice("queryKeyNorm", default: QueryKeyNorm.none)
    attention.normalizesQueryKeyValue = try part.bool("queryKeyValueNorm", default: false)
    attention.normalizesOutput = try part.bool("outputNorm", default: false)
    attention.softCap = try part.double("softCap", default: 0, in: 0...1e6)
  }
}

extension NormalizedTransformerSettings {
  /// The keys of an nGPT's section, besides its kind.
  static let keys = [
    "context", "width", "heads", "layers", "hidden", "tiedEmbedding", "initialStep",
  ]

  /// Decodes an nGPT's part of the `model` section.
  package init(_ section: ConfigurationSection, path: String) throws(ConfigurationError) {
    let positive = ConfigurationLimits.extent
    let (width, heads) = try section.heads(path: path)
    try section.checkPairs(width / heads, at: "heads", path: path)
    self.init(
      context: try section.int("context", in: positive), width: width, heads: heads,
      layers: try section.int("layers", in: ConfigurationLimits.depth))
    hidden = try section.int("hidden", default: hidden, in: ConfigurationLimits.count)
    tiedEmbedding = try section.bool("tiedEmbedding", default: tiedEmbedding)
    initialStep = try section.double("initialStep", default: initialStep, in: 0...1)
  }
}

extension ConfigurationSection {
  /// The width, and the heads that divide it.
  fileprivate func heads(path: String) throws(ConfigurationError) -> (width: Int, heads: Int) {
    let positive = ConfigurationLimits.extent
    let (width, heads) = (try int("width", in: positive), try int("heads", in: positive))
    guard width % heads == 0 else {
      throw ConfigurationError(
        place("heads"), "\(path).heads \(heads) does not divide the width \(width)")
    }
    return (width, heads)
  }

  /// Throws unless a head's channels are pairs.
  fileprivate func checkPairs(_ size: Int, at key: String, path: String)
    throws(ConfigurationError)
  {
    guard size % 2 == 0 else {
      throw ConfigurationError(
        place(key), "\(path): rotary positions turn pairs of channels, and a head has \(size)")
    }
  }
}
