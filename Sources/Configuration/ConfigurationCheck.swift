package import LockstepDatasets
package import LockstepFiles
import LockstepModels
import LockstepNorms

/// Checks that a configuration contradicts neither itself nor its data.
package enum ConfigurationCheck {
  /// Throws if the configuration of a model contradicts itself.
  package static func model(_ configuration: RunConfiguration) throws(ConfigurationError) {
    let kind = configuration.model.norm.kind
    if case .nGPT = configuration.model.kind, kind != .none {
      throw ConfigurationError(
        configuration.places["model.norm.kind"],
        "nGPT has norms of its own and no site for \(kind.rawValue) norm")
    }
    if configuration.model.norm.zeroCentered, kind != .rms {
      throw ConfigurationError(
        configuration.places["model.norm.zeroCentered"],
        "model.norm.zeroCentered is true, but \(kind.rawValue) norm has no zero-centred gain; only rms norm has"
      )
    }
    let isLSTM = if case .lstm = configuration.model.kind { true } else { false }
    let place = isLSTM ? " in an lstm" : ""
    if configuration.model.norm.ghostBatch > 0, kind != .batch || isLSTM {
      throw ConfigurationError(
        configuration.places["model.norm.ghostBatch"],
        "model.norm.ghostBatch is \(configuration.model.norm.ghostBatch), but only batch norm outside an lstm takes "
          + "statistics over a part of a rank's samples, not \(kind.rawValue)\(place)")
    }
    if configuration.model.norm.every > 1, kind == .whitening || kind == .batchRenorm || isLSTM {
      throw ConfigurationError(
        configuration.places["model.norm.every"],
        "model.norm.every is \(configuration.model.norm.every), but only sync-batch norm outside an lstm leaves out "
          + "its synchronization in some steps, not \(kind.rawValue)\(place)")
    }
    if isLSTM, case .arithmetic = configuration.data.source,
      configuration.model.norm.momentum == nil,
      kind == .batch || kind == .syncBatch
    {
      throw ConfigurationError(
        configuration.places["model.norm.momentum"],
        "model.norm.momentum is null, but the later steps of sequences of several lengths have their own number of "
          + "batches, which is not kept; give a number")
    }
    if case .lstm = configuration.model.kind, let problem = LSTM.problem(kind) {
      throw ConfigurationError(configuration.places["model.norm.kind"], problem)
    }
    try attention(configuration)
  }

  /// Throws if MNIST's images to test on are those to train on, or none.
  package static func heldOut(_ configuration: RunConfiguration, _ data: DataSplit)
    throws(ConfigurationError)
  {
    guard case .mnist(_, let files, let holdOut) = configuration.data.source else { return }
    if files == "t10k", holdOut == nil {
      throw ConfigurationError(
        configuration.places["data.files"],
        "data.files is t10k, the images to test on; give data.holdOut to train on some of them and test on the "
          + "others")
    }
    guard let holdOut, data.test.count == 0 else { return }
    throw ConfigurationError(
      configuration.places["data.holdOut"],
      "data.holdOut is \(holdOut), but there are only \(data.train.count) images, so none is held out "
        + "to test on; give at most \(data.train.count)")
  }

  /// Throws if a transformer's norms exclude each other or stand nowhere, or one in attention would see a single
  /// channel.
  private static func attention(_ configuration: RunConfiguration) throws(ConfigurationError) {
    guard case .transformer(let settings) = configuration.model.kind else { return }
    if settings.placement == .mix, settings.mixShare > 0, settings.placement(of: 0) != .post {
      throw ConfigurationError(
        configuration.places["model.mixShare"],
        "mixShare \(settings.mixShare) of \(settings.layers) block(s) is less than one; give a larger share, or "
          + "placement: pre")
    }
    let attention = settings.attention
    if attention.queryKeyNorm != .none {
      let whole =
        attention.normalizesQueryKeyValue
        ? "queryKeyValueNorm" : settings.placement.normalizesQueryKeyValue ? "the placement" : nil
      if let whole {
        throw ConfigurationError(
          configuration.places["model.attention.queryKeyNorm"],
          "queryKeyNorm has no meaning where \(whole) puts layer norms on queries, keys and values; leave it out"
        )
      }
    }
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
          "queryKeyNorm on each of \(settings.heads) heads sees one channel: only the sign of one value "
            + "would be left")
      }
    }
    if settings.width == 1, attention.normalizesOutput {
      throw wrong("model.attention.outputNorm", "outputNorm, a layer norm on a width of 1,")
    }
  }
}
