import LockstepFiles
import LockstepLayers
import LockstepModels
import Yams

/// A transformer's part of the `model` section.
extension TransformerSettings: DescribedSection {
  static let initial = TransformerSettings(context: 0, width: 0, heads: 1, layers: 0)

  /// The name that stands in place of an activation for a gated feed-forward part.
  private static let gated = "swiglu"

  /// The activation's name in a configuration.
  private var activationName: String { activation?.rawValue ?? Self.gated }

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.int("context", &context, isRequired: true, in: ConfigurationLimits.extent)
    try coder.heads(&width, &heads)
    try coder.int("layers", &layers, isRequired: true, in: ConfigurationLimits.depth)
    try coder.choice("positions", &positions)
    if positions == .rotary { try coder.checkPairs(width, heads, at: "positions") }
    var name = activationName
    try coder.choice(
      "activation", &name, of: Activation.allCases.map(\.rawValue) + [Self.gated])
    activation = name == Self.gated ? nil : Activation(rawValue: name) ?? .geluTanh
    if coder.section != nil {
      // SwiGLU has three matrices instead of two, so two thirds of the width give as many parameters.
      hidden = name == Self.gated ? (8 * width / 3 + 15) / 16 * 16 : 4 * width
    }
    try coder.int("hidden", &hidden, in: ConfigurationLimits.count)
    try coder.bool("tiedEmbedding", &tiedEmbedding)
    try coder.double("dropout", &dropout, in: 0...0.99)
    try coder.choice("placement", &placement)
    try coder.double("mixShare", &mixShare, in: 0...1)
    var fixNorm = FixNormSection(embedding: fixesEmbeddingNorm, output: fixesOutputNorm)
    try coder.section("fixNorm", &fixNorm)
    (fixesEmbeddingNorm, fixesOutputNorm) = (fixNorm.embedding, fixNorm.output)
    try coder.section("attention", &attention)
  }
}

private struct FixNormSection: DescribedSection {
  var embedding: Bool
  var output: Bool

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.bool("embedding", &embedding)
    try coder.bool("output", &output)
  }
}

extension AttentionSettings: DescribedSection {
  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.choice("queryKeyNorm", &queryKeyNorm)
    try coder.bool("queryKeyValueNorm", &normalizesQueryKeyValue)
    try coder.bool("outputNorm", &normalizesOutput)
    try coder.double("softCap", &softCap, in: 0...1e6)
  }
}

/// An nGPT's part of the `model` section.
extension NormalizedTransformerSettings: DescribedSection {
  static let initial = NormalizedTransformerSettings(context: 0, width: 0, heads: 1, layers: 0)

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.int("context", &context, isRequired: true, in: ConfigurationLimits.extent)
    try coder.heads(&width, &heads)
    try coder.checkPairs(width, heads, at: "heads")
    try coder.int("layers", &layers, isRequired: true, in: ConfigurationLimits.depth)
    if coder.section != nil {
      hidden =
        NormalizedTransformerSettings(
          context: context, width: width, heads: heads, layers: layers
        ).hidden
    }
    try coder.int("hidden", &hidden, in: ConfigurationLimits.count)
    try coder.bool("tiedEmbedding", &tiedEmbedding)
    try coder.double("initialStep", &initialStep, in: 0...1)
  }
}

extension SectionCoder {
  /// Visits the width and the number of heads, which has to divide it.
  fileprivate mutating func heads(_ width: inout Int, _ heads: inout Int)
    throws(ConfigurationError)
  {
    let positive = ConfigurationLimits.extent
    try int("width", &width, isRequired: true, in: positive)
    try int("heads", &heads, isRequired: true, in: positive)
    guard let section, width % heads != 0 else { return }
    throw ConfigurationError(
      section.place("heads"), "\(path).heads \(heads) does not divide the width \(width)")
  }

  /// Throws unless a head has an even number of channels.
  fileprivate func checkPairs(_ width: Int, _ heads: Int, at key: String)
    throws(ConfigurationError)
  {
    guard let section, width / heads % 2 != 0 else { return }
    throw ConfigurationError(
      section.place(key),
      "\(path): rotary positions rotate pairs of channels, but a head has \(width / heads)")
  }
}
