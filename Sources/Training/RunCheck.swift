import Datasets
import Models
import Norms

/// What can be known to fail before the first step, from the configuration, the data and the
/// number of ranks alone: every rank finds the same.
enum RunCheck {
  static func batch(_ configuration: RunConfiguration, batch: Int, samples: Int)
    throws(ConfigurationError)
  {
    guard batch <= samples else {
      let name =
        if case .perRank = configuration.batch { "batchPerRank times the ranks, \(batch)," } else {
          "batch \(batch)"
        }
      throw ConfigurationError(
        configuration.name, "\(name) is larger than the training set of \(samples) samples")
    }
    guard configuration.accumulate <= batch else {
      throw ConfigurationError(
        configuration.name,
        "accumulate \(configuration.accumulate) is more than the batch of \(batch) samples")
    }
  }

  static func statisticsGroup(_ model: ModelConfiguration, ranks: Int) throws(ConfigurationError) {
    guard model.norm.synchronizes, case .ranks(let count) = model.norm.statisticsGroup,
      ranks % count != 0
    else { return }
    throw ConfigurationError(
      model.normPlace,
      "model.norm.statisticsGroup \(count) does not divide the \(ranks) ranks")
  }

  static func norms(
    _ model: ModelConfiguration, _ sites: [NormSite], ranks: Int, ranksPerGroup: Int,
    batchSizes: Set<Int>, accumulate: Int
  ) throws(ConfigurationError) {
    let kind = model.norm.kind
    if case .nGPT = model.kind, kind != .none {
      throw ConfigurationError(
        model.normPlace, "nGPT has norms of its own and no site for \(kind.rawValue) norm")
    }
    for site in sites {
      if kind == .group, site.channels % model.norm.groups != 0 {
        throw ConfigurationError(
          model.normPlace,
          "model.norm.groups \(model.norm.groups) does not divide the \(site.channels) channels "
            + "of \(site.name)")
      }
      if kind == .instance, site.positions == 1 {
        throw ConfigurationError(
          model.normPlace,
          "instance norm at \(site.name) sees one position a sample: one value a channel has no "
            + "variance")
      }
    }
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
          throw ConfigurationError(
            model.normPlace,
            "\(kind.rawValue) norm at \(site.name): \(who) would have one sample of a batch of "
              + "\(size), and one value a channel has no variance; use another batch size, or "
              + "dropLast where only the last batch is that small")
        }
      }
    }
  }
}
