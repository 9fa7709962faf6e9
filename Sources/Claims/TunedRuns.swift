import Training

extension Laboratory {
  /// The index of the rate at which each run's test loss is lowest, under the seed after `seeds`, so
  /// that no run is measured under the seed that it was tuned with.
  ///
  /// Collective.
  func bestRates(
    of runs: [RunConfiguration], among rates: [Double], before seeds: Range<UInt64>
  ) throws -> [Int] {
    let losses = try map(
      runs.flatMap { run in rates.map(run.at(learningRate:)) },
      seeds: seeds.upperBound..<seeds.upperBound + 1
    ) { try train($0).loss }.map { $0[0] }
    return runs.indices.map { run in
      rates.indices.min { losses[run * rates.count + $0] < losses[run * rates.count + $1] } ?? 0
    }
  }
}
