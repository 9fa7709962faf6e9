import LockstepConfiguration

extension Laboratory {
  /// Tries every run at every rate, under the seed after `seeds`.
  ///
  /// Collective. Thus no run is measured under the seed that it was tuned with.
  func tune(_ runs: [RunConfiguration], rates: [Double], before seeds: Range<UInt64>) throws
    -> [Tuning]
  {
    let losses = try map(
      runs.flatMap { run in rates.map(run.at(learningRate:)) },
      seeds: seeds.upperBound..<seeds.upperBound + 1
    ) { try train($0).loss }.map { $0[0] }
    return runs.indices.map { run in
      Tuning(rates: rates, losses: Array(losses[run * rates.count..<(run + 1) * rates.count]))
    }
  }
}

/// The test loss of one run at some learning rates.
struct Tuning {
  let rates: [Double]
  let losses: [Double]

  /// The rate whose loss is lowest.
  var best: Double {
    zip(rates, losses).min { $0.1 < $1.1 }?.0 ?? 0
  }

  /// The chosen rate, and the test loss at each rate.
  func figures(_ name: String) -> [Figure] {
    [Figure("\(name): rate", best)]
      + zip(rates, losses).map { Figure("\(name), rate \($0): test loss in choosing", $1) }
  }
}
