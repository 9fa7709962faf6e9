import Datasets
import Models
import Norms

/// What can be known to fail before the first step, from the configuration, the data and the
/// number of ranks alone: every rank finds the same.
enum RunCheck {
  /// Whether there is something to evaluate, and of the kind that is trained on.
  static func data(_ configuration: RunConfiguration, _ data: DataSplit, testLabels: Int)
    throws(ConfigurationError)
  {
    guard testLabels > 0 else {
      if case .mnist(_, _, let holdOut?) = configuration.data.source {
        throw ConfigurationError(
          configuration.places["data.holdOut"],
          "data.holdOut is \(holdOut), and there are \(data.train.count) images, so that none is held out "
            + "to test on; give at most \(data.train.count)")
      }
      throw ConfigurationError(
        configuration.places["data"], "the test set is empty, so that nothing can be evaluated")
    }
    guard data.test.shape == data.train.shape else {
      throw ConfigurationError(
        configuration.places["data.path"],
        "the samples to test on have shape \(data.test.shape), those to train on \(data.train.shape); give "
          + "data of one shape")
    }
  }

  static func batch(_ configuration: RunConfiguration, batch: Int, samples: Int)
    throws(ConfigurationError)
  {
    guard batch <= samples else {
      let (key, name) =
        if case .perRank = configuration.batch {
          ("batchPerRank", "batchPerRank times the ranks, \(batch),")
        } else {
          ("batch", "batch \(batch)")
        }
      throw ConfigurationError(
        configuration.places[key], "\(name) is larger than the training set of \(samples) samples")
    }
    guard configuration.accumulate <= batch else {
      throw ConfigurationError(
        configuration.places["accumulate"],
        "accumulate \(configuration.accumulate) is more than the batch of \(batch) samples")
    }
  }

  /// Whether the norm's statistics group, which stands at `place`, divides the ranks.
  static func statisticsGroup(_ norm: NormSettings, at place: String, ranks: Int)
    throws(ConfigurationError)
  {
    guard norm.synchronizes, case .ranks(let count) = norm.statisticsGroup, ranks % count != 0
    else { return }
    throw ConfigurationError(
      place,
      "model.norm.statisticsGroup \(count) does not divide the \(ranks) ranks")
  }

  static func norms(
    _ configuration: RunConfiguration, _ sites: [NormSite], ranks: Int, ranksPerGroup: Int,
    batchSizes: Set<Int>
  ) throws(ConfigurationError) {
    let (model, accumulate) = (configuration.model, configuration.accumulate)
    let kind = model.norm.kind
    /// What is wrong with the norm, where the setting stands that makes it so.
    func wrong(_ problem: String, by setting: String = "kind") -> ConfigurationError {
      let places = configuration.places
      let key = places.has("model.norm.\(setting)") ? setting : "kind"
      return ConfigurationError(places["model.norm.\(key)"], problem)
    }
    if case .nGPT = model.kind, kind != .none {
      throw wrong("nGPT has norms of its own and no site for \(kind.rawValue) norm")
    }
    for site in sites {
      if kind == .group, site.channels % model.norm.groups != 0 {
        throw wrong(
          "model.norm.groups \(model.norm.groups) does not divide the \(site.channels) channels "
            + "of \(site.name)", by: "groups")
      }
      if kind == .group, site.channels == model.norm.groups, site.positions == 1 {
        throw wrong(
          "group norm at \(site.name) has \(model.norm.groups) groups of one value, which has no variance; "
            + "use fewer groups", by: "groups")
      }
      if [.rms, .l2, .scale].contains(kind), site.channels == 1 {
        throw wrong(
          "\(kind.rawValue) norm at \(site.name) sees one channel: of one value the sign alone is left"
        )
      }
      if kind == .layer, site.channels == 1 {
        throw wrong("layer norm at \(site.name) sees one channel: one value has no variance")
      }
      if kind == .instance, site.positions == 1 {
        throw wrong(
          "instance norm at \(site.name) sees one position a sample: one value a channel has no "
            + "variance")
      }
    }
    try attention(configuration)
    guard kind.usesBatchStatistics, let site = sites.first(where: { $0.positions == 1 }) else {
      return
    }
    let group = model.norm.synchronizes ? ranksPerGroup : 1
    for size in batchSizes.sorted() {
      for part in 0..<accumulate {
        let slots = share(part, of: accumulate, in: 0..<size)
        for first in stride(from: 0, to: ranks, by: group) {
          let rows = (first..<first + group).reduce(0) {
            $0 + share($1, of: ranks, in: slots).count
          }
          guard rows == 1 else { continue }
          let who =
            group == ranks && model.norm.synchronizes
            ? "the whole batch"
            : group == 1 ? "rank \(first)" : "ranks \(first)–\(first + group - 1)"
          throw wrong(
            "\(kind.rawValue) norm at \(site.name): \(who) would have one sample of a batch of "
              + "\(size), and one value a channel has no variance; use another batch size, or "
              + "dropLast where only the last batch is that small")
        }
      }
    }
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
