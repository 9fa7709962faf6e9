package import LockstepDatasets
package import LockstepFiles
import LockstepModels
import LockstepNorms

/// What a configuration says against itself or its data.
package enum ConfigurationCheck {
  /// What the configuration of a model says against itself.
  package static func model(_ configuration: RunConfiguration) throws(ConfigurationError) {
    let kind = configuration.model.norm.kind
    if case .nGPT = configuration.model.kind, kind != .none {
      throw ConfigurationError(
        configuration.places["model.norm.kind"],
        "nGPT has norms of its own and no site for \(kind.rawValue) norm")
    }
    try attention(configuration)
  }

  /// Whether some images are held out to test on, where the configuration asks for it.
  package static func heldOut(_ configuration: RunConfiguration, _ data: DataSplit)
    throws(ConfigurationError)
  {
    guard case .mnist(_, _, let holdOut?) = configuration.data.source, data.test.count == 0 else {
      return
    }
    throw ConfigurationError(
      configuration.places["data.holdOut"],
      "data.holdOut is \(holdOut), and there are \(data.train.count) images, so that none is held out "
        + "to test on; give at most \(data.train.count)")
  }

  /// Layer norms that a transformer has besides the model's norm.
  private static func attention(_ configuration: RunConfiguration) throws(ConfigurationError) {
    guard case .transformer(let settings) = configuration.model.kind else { return }
    let attention = settings.attention
    func wrong(_ key: String, _ what: String) -> ConfigurationError {
      ConfigurationError(
        configuration.places[key], "\(what) sees one channel: one value has no variance")
    }
    if settings.width == settings.heads {
      if attention.normalizesQueryKeyValue || settings.placement.normalizesQueryKeyValue {
        let key =
          attention.normalizesQueryKeyValue
          ? "model.attention.queryKeyValueNorm" : "model.placement"
        throw wrong(
          key, "the layer norm on the queries, keys and values of each of \(settings.heads) heads")
      }
      if attention.queryKeyNorm != .none {
        let key = "model.attention.queryKeyNorm"
        guard attention.queryKeyNorm != .layer else {
          throw wrong(key, "queryKeyNorm: layer on each of \(settings.heads) heads")
        }
        throw ConfigurationError(
          configuration.places[key],
          "queryKeyNorm on each of \(settings.heads) heads sees one channel: of one value the sign alone is "
            + "left")
      }
    }
    if settings.width == 1, attention.normalizesOutput {
      throw wrong("model.attention.outputNorm", "outputNorm, a layer norm on a width of 1,")
    }
  }
}
