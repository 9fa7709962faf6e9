import LockstepFiles
import LockstepModels

/// An LSTM's part of the `model` section.
extension LSTMSettings: DescribedSection {
  static let initial = LSTMSettings(context: 0, width: 0, layers: 0)

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.int("context", &context, isRequired: true, in: ConfigurationLimits.extent)
    try coder.int("width", &width, isRequired: true, in: ConfigurationLimits.extent)
    try coder.int("layers", &layers, isRequired: true, in: ConfigurationLimits.depth)
    try coder.bool("tiedEmbedding", &tiedEmbedding)
    try coder.double("dropout", &dropout, in: 0...0.99)
  }
}
