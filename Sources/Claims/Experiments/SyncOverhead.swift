import LockstepBenchmarks
import LockstepConfiguration
import LockstepDatasets
import LockstepFiles
import LockstepModels
import LockstepNorms
import LockstepRuns

extension Claim {
  static let syncOverhead = Claim(
    id: "sync-overhead",
    statement: """
      Batch norm's dependence on batch statistics makes devices synchronize in distributed training, \
      which adds communication; layer norm and RMSNorm need none.
      """,
    source: """
      sthasushant, A Note on Normalization, on batch norm in transformers; the statistics: Ioffe & Szegedy, 2015, \
      algorithm 1, https://arxiv.org/abs/1502.03167
      """,
    method: """
      A small ResNet on the digits, 64 images a rank, on all ranks (on two thread ranks if there is only \
      one), under per-rank batch norm, sync-batch, layer and RMS norm in turns of a few steps. \
      Collectives and bytes are counted in the communicators.
      """,
    rule: """
      Holds if sync-batch issues exactly 2 statistics collectives for each norm layer in a step, and \
      per-rank batch, layer and RMS norm exactly 0; otherwise does not hold. Times do not decide.
      """, minutes: 0.5
  ) { lab in
    let (steps, repeats) = (lab.scaled(300, least: 4), lab.scaled(3))
    let configuration = try lab.configuration(
      """
      model: {kind: resnet, blocks: [1, 1, 1], widths: [16, 32, 64], norm: {kind: batch}}
      data: {kind: digits, dropLast: true}
      batchPerRank: 64
      steps: \(steps)
      optimizer: {kind: sgd, learningRate: 0.1, momentum: 0.9}
      """)
    let norms: [NormKind] = [.batch, .syncBatch, .layer, .rms]
    let (results, layers) = try lab.together { context in
      let data = try configuration.loadData()
      let layers = try TrainingRun(configuration, data: data, context: context)
        .model.normSites.count
      let comparison = try Comparison(
        configuration, norms: norms, repeats: repeats, data: data, context: context,
        onStep: { _, _, _ in })
      return (comparison.results, layers)
    }
    var figures = [Figure("norm layers", Double(layers))]
    for result in results {
      figures += [
        Figure("\(result.norm): statistics collectives a step", result.collectives),
        Figure("\(result.norm): statistics bytes a step", result.statistics.bytesPerStep),
        Figure(
          "\(result.norm): blocked for statistics", result.statistics.blockedMilliseconds,
          samples: steps * repeats, unit: "ms"),
        Figure(
          "\(result.norm): blocked for gradients", result.gradients.blockedMilliseconds,
          samples: steps * repeats, unit: "ms"),
        Figure(
          "\(result.norm): step", result.stepMilliseconds, samples: steps * repeats, unit: "ms"),
        Figure(
          "\(result.norm): test accuracy", result.repeats.map { 100 * $0.accuracy }, unit: "%"),
      ]
    }
    let expected = norms.map { $0 == .syncBatch ? Double(2 * layers) : 0 }
    return Outcome(
      Verdict(results.map(\.collectives) == expected),
      because: """
        sync-batch issues \(Int(results[1].collectives)) statistics collectives a step for \
        \(layers) norm layers, layer \(Int(results[2].collectives)) and rms \
        \(Int(results[3].collectives)); per-rank batch norm issues \
        \(Int(results[0].collectives)), so the communication is the price of statistics over all \
        ranks, not of batch norm as such
        """, figures)
  }
}

extension Comparison.Result {
  /// The number of statistics collectives in a step.
  fileprivate var collectives: Double { statistics.collectivesPerStep }
}
