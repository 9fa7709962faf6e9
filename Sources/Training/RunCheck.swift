import Datasets
import Files
import Models
import Norms

/// What can be known to fail before the first step, from the configuration, the data and the
/// number of ranks alone: every rank finds the same.
enum RunCheck {
  /// Whether there is something to evaluate, and of the kind that is trained on.
  static func data(_ data: DataSplit, testLabels: Int, placeOf: (String) -> String)
    throws(ConfigurationError)
  {
    guard testLabels > 0 else {
      throw ConfigurationError(
        placeOf("data"), "the test set is empty, so that nothing can be evaluated")
    }
    guard data.test.shape == data.train.shape else {
      throw ConfigurationError(
        placeOf("data.path"),
        "the samples to test on have shape \(data.test.shape), those to train on \(data.train.shape); give "
          + "data of one shape")
    }
  }

  /// Whether the model has a logit for every class, if it is known how many it has.
  static func outputs(_ model: Model, classes: Int) throws(ConfigurationError) {
    guard let outputs = model.outputs, outputs != classes else { return }
    throw ConfigurationError(
      "the model", "puts out \(outputs) logits, and the data have \(classes) classes")
  }

  static func batch(
    _ settings: TrainerSettings, batch: Int, samples: Int, placeOf: (String) -> String
  ) throws(ConfigurationError) {
    guard batch > 0, batch <= samples else {
      let (key, name) =
        if case .perRank = settings.batch {
          ("batchPerRank", "batchPerRank times the ranks, \(batch),")
        } else {
          ("batch", "batch \(batch)")
        }
      throw ConfigurationError(
        placeOf(key),
        batch > 0
          ? "\(name) is larger than the training set of \(samples) samples"
          : "\(name) has no sample, expected 1 or more")
    }
    guard (1...batch).contains(settings.accumulate) else {
      throw ConfigurationError(
        placeOf("accumulate"),
        settings.accumulate > batch
          ? "accumulate \(settings.accumulate) is more than the batch of \(batch) samples"
          : "accumulate is \(settings.accumulate), expected 1 or more")
    }
  }

  /// Whether the norm's statistics group, which stands at `place`, divides the ranks.
  static func statisticsGroup(_ norm: NormSettings, at place: String, ranks: Int)
    throws(ConfigurationError)
  {
    if norm.synchronizes {
      try divides(
        norm.statisticsGroup, ranks: ranks, place: place, name: "model.norm.statisticsGroup")
    }
  }

  /// Whether a statistics group divides the ranks.
  static func divides(
    _ group: StatisticsGroup, ranks: Int, place: String, name: String = "a statistics group of"
  ) throws(ConfigurationError) {
    guard case .ranks(let count) = group, ranks % count != 0 else { return }
    throw ConfigurationError(place, "\(name) \(count) does not divide the \(ranks) ranks")
  }

  /// Whether each norm can stand where it does, and finds values enough in every batch.
  static func norms(
    _ model: Model, accumulate: Int, ranks: Int, batchSizes: Set<Int>,
    placeOf: (String) -> String
  ) throws(ConfigurationError) {
    for (site, settings) in model.norms.map({ ($0.site, $0.settings) }) {
      guard let problem = settings.norm.problem(at: site, settings) else { continue }
      throw ConfigurationError(
        placeOf("model.norm.\(problem.setting ?? "kind")"),
        problem.setting.map(problem.text.hasPrefix) == true
          ? "model.norm.\(problem.text)" : problem.text)
    }
    let few = model.norms.first { $0.settings.usesBatchStatistics && $0.site.positions == 1 }
    guard let few else { return }
    let (kind, synchronizes) = (few.settings.kind.rawValue, few.settings.synchronizes)
    let group = synchronizes ? few.ranks : 1
    for size in batchSizes.sorted() {
      for part in 0..<accumulate {
        let slots = share(part, of: accumulate, in: 0..<size)
        for first in stride(from: 0, to: ranks, by: group) {
          let rows = (first..<first + group).reduce(0) {
            $0 + share($1, of: ranks, in: slots).count
          }
          guard rows == 1 else { continue }
          let who =
            group == ranks && synchronizes
            ? "the whole batch"
            : group == 1 ? "rank \(first)" : "ranks \(first)–\(first + group - 1)"
          throw ConfigurationError(
            placeOf("model.norm.kind"),
            "\(kind) norm at \(few.site.name): \(who) would have one sample of a batch of "
              + "\(size), and one value a channel has no variance; use another batch size, or "
              + "dropLast where only the last batch is that small")
        }
      }
    }
  }

  /// What the configuration of a model says against itself.
  static func model(_ configuration: RunConfiguration) throws(ConfigurationError) {
    let kind = configuration.model.norm.kind
    if case .nGPT = configuration.model.kind, kind != .none {
      throw ConfigurationError(
        configuration.places["model.norm.kind"],
        "nGPT has norms of its own and no site for \(kind.rawValue) norm")
    }
    try attention(configuration)
  }

  /// Whether some images are held out to test on, where the configuration asks for it.
  static func heldOut(_ configuration: RunConfiguration, _ data: DataSplit)
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
