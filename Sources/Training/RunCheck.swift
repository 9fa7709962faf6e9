import LockstepDatasets
package import LockstepFiles
import LockstepModels
package import LockstepNorms

/// Finds failures before the first step, from nothing but the configuration, the data and the number of
/// ranks, so that every rank finds the same.
package enum RunCheck {
  /// Throws unless the test set has labels, samples of the training set's shape, and no more classes.
  static func data(_ data: DataSplit, testLabels: Int, placeOf: (String) -> String)
    throws(ConfigurationError)
  {
    guard testLabels > 0 else {
      throw ConfigurationError(
        placeOf("data"), "the test set is empty, so nothing can be evaluated")
    }
    guard data.test.shape == data.train.shape else {
      throw ConfigurationError(
        placeOf("data.path"),
        "the samples to test on have shape \(data.test.shape), those to train on \(data.train.shape); "
          + "give data of one shape")
    }
    guard data.test.classes <= data.train.classes else {
      throw ConfigurationError(
        placeOf("data"),
        "the data to test on have \(data.test.classes) classes, those to train on \(data.train.classes); "
          + "give data of the same classes"
      )
    }
  }

  /// Throws unless the model has a logit for every class, if its number of logits is known.
  static func outputs(_ model: Model, classes: Int) throws(ConfigurationError) {
    guard let outputs = model.outputs, outputs != classes else { return }
    throw ConfigurationError(
      "the model", "has \(outputs) logits, but the data have \(classes) classes")
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
    if let norm = settings.clipNorm, !(norm > 0) {
      throw ConfigurationError(
        placeOf("clipNorm"), "clipNorm is \(norm), expected a number above 0")
    }
    guard (0...Augmentation.largestCrop).contains(settings.augmentation.crop) else {
      throw ConfigurationError(
        placeOf("data.augment.crop"),
        "crop is \(settings.augmentation.crop), expected 0 to \(Augmentation.largestCrop) pixels")
    }
  }

  /// Throws unless the norm's statistics group, given at `place`, divides the number of ranks.
  package static func statisticsGroup(_ norm: NormSettings, at place: String, ranks: Int)
    throws(ConfigurationError)
  {
    if norm.synchronizes {
      try divides(
        norm.statisticsGroup, ranks: ranks, place: place, name: "model.norm.statisticsGroup")
    }
  }

  /// Throws unless a statistics group divides the number of ranks.
  static func divides(
    _ group: StatisticsGroup, ranks: Int, place: String, name: String = "a statistics group of"
  ) throws(ConfigurationError) {
    guard case .ranks(let count) = group, count < 1 || ranks % count != 0 else { return }
    throw ConfigurationError(place, "\(name) \(count) does not divide the \(ranks) ranks")
  }

  /// Throws unless each norm fits its site, and has enough values in every batch.
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
    for norm in model.norms where norm.settings.ghostBatch > 0 && norm.site.positions == 1 {
      try ghosts(
        of: norm, accumulate: accumulate, ranks: ranks, batchSizes: batchSizes, placeOf: placeOf)
    }
    try visitShares(
      of: model, accumulate: accumulate, ranks: ranks, batchSizes: batchSizes
    ) { share throws(ConfigurationError) in
      guard !share.problem.isWarning else { return }
      throw ConfigurationError(
        placeOf("model.norm.\(share.problem.setting ?? "kind")"),
        share.text + "; use another batch size, or dropLast where only the last batch is that small"
      )
    }
  }

  /// Throws if a ghost batch of a norm with one position would have exactly one sample.
  private static func ghosts(
    of norm: PlacedNorm, accumulate: Int, ranks: Int, batchSizes: Set<Int>,
    placeOf: (String) -> String
  ) throws(ConfigurationError) {
    let size = norm.settings.ghostBatch
    for batch in batchSizes.sorted() {
      for part in 0..<accumulate {
        let slots = share(part, of: accumulate, in: 0..<batch)
        for rank in 0..<ranks {
          let samples = share(rank, of: ranks, in: slots).count
          guard samples > 1, size == 1 || samples % size == 1 else { continue }
          throw ConfigurationError(
            placeOf("model.norm.ghostBatch"),
            "model.norm.ghostBatch is \(size), which leaves rank \(rank) a ghost batch of one sample of its "
              + "\(samples) at \(norm.site.name), and one value a channel has no variance; give a size that "
              + "divides them, or use dropLast where only the last batch is that small")
        }
      }
    }
  }

  /// What is doubtful about norms that have few values in a batch, a line for each kind of norm.
  static func warnings(_ model: Model, accumulate: Int, ranks: Int, batchSizes: Set<Int>)
    -> [String]
  {
    var found: [(kind: NormKind, text: String, places: Set<String>)] = []
    visitShares(of: model, accumulate: accumulate, ranks: ranks, batchSizes: batchSizes) { share in
      guard share.problem.isWarning else { return }
      let (kind, name) = (share.norm.settings.kind, share.norm.site.name)
      guard let known = found.firstIndex(where: { $0.kind == kind }) else {
        return found.append((kind, share.text, [name]))
      }
      found[known].places.insert(name)
    }
    return found.map {
      $0.places.count == 1 ? $0.text : "\($0.text); so it is in \($0.places.count) places"
    }
  }

  /// What ranks that share a norm's statistics have of a batch, where that is a problem.
  private struct Share {
    let norm: PlacedNorm
    let problem: NormProblem
    /// The problem in words.
    let text: String
  }

  /// The ranks that share a norm's statistics.
  private static func groups(of norm: PlacedNorm, among ranks: Int) -> [[Int]] {
    guard norm.settings.synchronizes else { return (0..<ranks).map { [$0] } }
    // A scope of one's own may not tell who shares; equal groups in order are assumed.
    guard !norm.firstRanks.isEmpty else {
      return stride(from: 0, to: ranks, by: norm.ranks).map {
        Array($0..<min($0 + norm.ranks, ranks))
      }
    }
    return Dictionary(grouping: 0..<ranks) { norm.firstRanks[$0] }.values.sorted { $0[0] < $1[0] }
  }

  /// Visits the shares of batches that are a problem to a norm with batch statistics.
  private static func visitShares<Failure>(
    of model: Model, accumulate: Int, ranks: Int, batchSizes: Set<Int>,
    _ visit: (Share) throws(Failure) -> Void
  ) throws(Failure) {
    for norm in model.norms where norm.settings.usesBatchStatistics {
      guard let positions = norm.site.positions else { continue }
      let settings = norm.settings
      var groups = groups(of: norm, among: ranks)
      // Between the steps that synchronize, statistics are over a rank's own samples.
      if settings.synchronizes, settings.every > 1 { groups += (0..<ranks).map { [$0] } }
      for size in batchSizes.sorted() {
        for part in 0..<accumulate {
          let slots = share(part, of: accumulate, in: 0..<size)
          for group in groups {
            let samples = group.reduce(0) {
              $0 + share($1, of: ranks, in: slots).count
            }
            guard samples > 0,
              let problem = settings.norm.problem(
                at: norm.site, settings, rows: samples * positions)
            else { continue }
            let who =
              group.count == ranks && settings.synchronizes
              ? "the whole batch"
              : (group.count == 1 ? "rank " : "ranks ")
                + group.map(String.init).joined(separator: ", ")
            try visit(
              Share(
                norm: norm, problem: problem,
                text: "\(settings.kind.rawValue) norm at \(norm.site.name): \(who) would have "
                  + "\(samples == 1 ? "one sample" : "\(samples) samples") of a batch of \(size), and "
                  + problem.text))
          }
        }
      }
    }
  }
}
