import LockstepAnalysis
import LockstepBenchmarks
import LockstepConfiguration
import LockstepDatasets
import LockstepModels
import LockstepNorms
import LockstepRuns

extension Claim {
  static let sparseSync = Claim(
    id: "sparse-sync",
    statement: """
      Synchronized batch norm need not synchronize in every step: with statistics of all ranks in every \
      k-th step alone it trains as well, and communicates a k-th as often.
      """,
    source: """
      A question of this package's, between Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167, whose \
      statistics are a rank's own, and SyncBatchNorm
      """,
    method: """
      A small ResNet on the digits, 8 images a rank, on all ranks (on two thread ranks if there is only one), \
      under sync-batch norm with statistics of all ranks in every step, every 2nd, 4th and 16th, 7 seeds or \
      more. Measured are collectives a step, the time blocked for them where every step has some, and the \
      accuracy in evaluation, which uses running statistics of all ranks.
      """,
    rule: """
      Holds if every k has exactly 2/k statistics collectives for each norm layer in a step as a mean over the \
      steps, and the accuracy at k = 4 is within 1 point of that at k = 1 in the median over paired seeds, or \
      the difference's interval includes 0. Does not hold if the median is lower by more than 1 point and the \
      interval excludes 0. Times do not decide.
      """, minutes: 1.2
  ) { lab in
    let periods = [1, 2, 4, 16]
    let (steps, repeats) = (16 * lab.scaled(12), lab.repeats(7))
    let base = try lab.configuration(
      """
      model: {kind: resnet, blocks: [1, 1], widths: [16, 32], norm: {kind: sync-batch}}
      data: {kind: digits, dropLast: true}
      batchPerRank: 8
      steps: \(steps)
      optimizer: {kind: sgd, learningRate: 0.05, momentum: 0.9}
      schedule: {decay: cosine}
      """)
    let (results, layers) = try lab.together { context in
      let data = try base.loadData()
      let layers = try TrainingRun(base, data: data, context: context).model.normSites.count
      let results = try periods.map { every in
        var run = base
        run.model.norm.every = every
        return try Comparison(
          run, norms: [.syncBatch], repeats: repeats, data: data, context: context,
          onStep: { _, _, _ in }
        ).results[0]
      }
      return (results, layers)
    }
    var figures = [Figure("norm layers", Double(layers))]
    for (every, result) in zip(periods, results) {
      figures += [
        Figure(
          "every \(every): statistics collectives a step", result.statistics.collectivesPerStep),
        Figure(
          "every \(every): test accuracy", result.repeats.map { 100 * $0.accuracy }, unit: "%"),
      ]
    }
    figures.append(
      Figure(
        "every 1: blocked for statistics", results[0].statistics.blockedMilliseconds,
        samples: steps * repeats, unit: "ms"))
    let isCounted = zip(periods, results).allSatisfy { every, result in
      abs(result.statistics.collectivesPerStep - Double(2 * layers) / Double(every)) < 1e-9
    }
    let lost = zip(results[2].repeats, results[0].repeats).map {
      100 * ($0.accuracy - $1.accuracy)
    }
    let difference = MedianInterval(lost, level: lab.level)
    figures.append(
      Figure("accuracy, every 4 less every 1", difference, samples: repeats, unit: "points"))
    let (near, zero) = (difference.median >= -1, difference.low <= 0 && difference.high >= 0)
    let accuracy: Verdict =
      near || zero ? .holds : lab.decides(repeats) ? .fails : .undecided
    return Outcome(
      Verdict(all: [Verdict(isCounted), accuracy]),
      because: """
        every 4th step costs \(threeDigits(results[2].statistics.collectivesPerStep)) statistics collectives a \
        step where every step costs \(threeDigits(results[0].statistics.collectivesPerStep)), and the accuracy \
        differs by \(threeDigits(difference.median)) points
        """, figures)
  }
}
