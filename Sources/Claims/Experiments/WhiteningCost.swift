import LockstepAutograd
import LockstepCollectives
import LockstepConfiguration
import LockstepNorms
import LockstepTensors

extension Claim {
  static let whitening = Claim(
    id: "whitening",
    statement: """
      Whitening the inputs of layers over a batch would help training, but it is computationally intensive: batch norm \
      normalizes each channel by itself instead.
      """,
    source: """
      Ioffe & Szegedy, 2015, section 2, https://arxiv.org/abs/1502.03167; sthasushant, A Note on Normalization, \
      on batch normalization; whitening made practical: Huang et al., 2018, https://arxiv.org/abs/1804.08450
      """,
    method: """
      Forward and backward pass of batch norm over all ranks and of whitening in one group, on 2,048 rows of 16, 64 and \
      128 channels over two thread ranks, 5 times in turn: the time of both passes, and the bytes that a rank gives to \
      its collectives. Then an MLP (64, 64) on the digits under both and under no norm, 7 seeds or more, each at the \
      rate of 0.03, 0.1 and 0.3 at which one run has the lowest loss: the steps to a training loss of 0.3.
      """,
    rule: """
      Holds if at 64 channels whitening takes at least twice batch norm's time in every repeat and gives at least ten \
      times its bytes. Does not hold if it takes less than twice the time in every repeat; else undecided. What it \
      gives in steps is measured and does not decide.
      """, minutes: 0.6
  ) { lab in
    var figures: [Figure] = []
    var (ratios, bytes): ([Double], Double) = ([], 0)
    for channels in [16, 64, 128] {
      let costs = try cost(channels: channels, repeats: lab.scaled(5))
      let ratio = zip(costs[1].milliseconds, costs[0].milliseconds).map { $0 / $1 }
      for (name, cost) in zip(["sync-batch", "whitening"], costs) {
        figures += [
          Figure("\(name), \(channels) channels: both passes", cost.milliseconds, unit: "ms"),
          Figure("\(name), \(channels) channels: bytes of a rank", cost.bytes),
        ]
      }
      figures.append(Figure("\(channels) channels: time of whitening / batch norm", ratio))
      if channels == 64 { (ratios, bytes) = (ratio, costs[1].bytes / costs[0].bytes) }
    }
    let base = try lab.configuration(
      """
      model: {kind: mlp, hidden: [64, 64], norm: {kind: none, groups: 1}}
      data: {kind: digits, dropLast: true}
      batch: 256
      steps: \(lab.scaled(120, least: 4))
      optimizer: {kind: sgd, learningRate: 0.1, momentum: 0.9}
      """)
    let norms: [NormKind] = [.none, .batch, .whitening]
    let seeds = 0..<UInt64(lab.repeats(7))
    let runs = norms.map { base.with(norm: $0) }
    let tunings = try lab.tune(runs, rates: [0.03, 0.1, 0.3], before: seeds)
    let steps = try lab.map(zip(runs, tunings).map { $0.at(learningRate: $1.best) }, seeds: seeds) {
      let trained = try train($0)
      let reached = trained.divergedAt == nil ? trained.steps(to: 0.3) : nil
      return Double(reached ?? trained.losses.count + 1)
    }
    figures += zip(norms, steps).map { Figure("\($0.rawValue): steps to a loss of 0.3", $1) }
    figures += zip(norms, tunings).map { Figure("\($0.rawValue): rate", $1.best) }
    let times = Verdict(allPositive: ratios.map { $0 - 2 })
    return Outcome(
      Verdict(all: [times, bytes >= 10 ? .holds : .undecided]),
      because: """
        at 64 channels whitening takes \(threeDigits(median(ratios))) times as long as batch norm and gives \
        \(threeDigits(bytes)) times as many bytes; it takes \(threeDigits(median(steps[2]))) steps where batch norm takes \
        \(threeDigits(median(steps[1]))). Huang et al. whiten convolutions' inputs in groups of 16 channels, on CIFAR \
        and ImageNet
        """, figures)
  }
}

/// What a norm's two passes cost.
private struct PassCost: Sendable {
  var milliseconds: [Double] = []
  var bytes = 0.0
}

/// The cost of synchronized batch norm and of whitening in one group, in turn, on one of two thread ranks.
private func cost(channels: Int, repeats: Int) throws -> [PassCost] {
  try withThreadRanks(2) { ranks in
    let norms = [NormKind.syncBatch, .whitening].map { kind in
      var settings = NormSettings(kind)
      settings.groups = 1
      return makeNorm(
        NormSite("norm", channels: channels), settings,
        NormScope(synchronized: StatisticsScope(ranks, coversAllRanks: true)))
    }
    var random = RandomStream(seed: UInt64(ranks.rank), site: .synthetic)
    let x = Tensor((0..<2048 * channels).map { _ in random.normal() }, shape: [2048, channels])
    var costs = norms.map { _ in PassCost() }
    // The first turn warms up.
    for turn in 0...repeats {
      for (i, norm) in norms.enumerated() {
        try ranks.barrier()
        let (start, before) = (monotonicNanoseconds(), ranks.traffic.bytes)
        let tape = Tape(.training)
        let input = tape.record(x, inputPullback: { _, _ in })
        let y = try norm(input, on: tape)
        for parameter in norm.parameters { parameter.clearGradient() }
        try tape.backward(from: y.gradient, seed: x.copy())
        guard turn > 0 else { continue }
        costs[i].milliseconds.append(Double(monotonicNanoseconds() - start) / 1e6)
        costs[i].bytes = Double(ranks.traffic.bytes - before)
      }
    }
    return costs
  }[0]
}
