import LockstepModels

extension Claim {
  static let hybrid = Claim(
    id: "hybrid",
    statement: "HybridNorm and HybridNorm* reach a lower loss than pre-norm.",
    source: """
      Zhuo et al., 2025, abstract and section 4, https://arxiv.org/abs/2503.04598; Mix-LN is Li et \
      al., 2025, https://arxiv.org/abs/2412.13795
      """,
    method: """
      A transformer of 4 blocks of width 32 learns sums and differences of up to two digits, with its \
      norms placed pre, post, mix (post in the first block), hybrid or hybrid-star, for the same number \
      of steps. Each placement gets the rate of 0.0016, 0.004, 0.01 and 0.025 at which one run has the \
      lowest test loss, and then runs under other seeds.
      """,
    rule: """
      Two sign tests over paired seeds: whether hybrid's test loss is lower than pre-norm's, and whether \
      hybrid-star's is. Both have to hold.
      """, minutes: 2.3
  ) { lab in
    let steps = lab.scaled(600)
    let rates = [1.6e-3, 4e-3, 1e-2, 2.5e-2]
    let placements = [Placement.pre, .post, .mix, .hybrid, .hybridStar]
    let runs = try placements.map {
      try lab.arithmeticRun(
        steps: steps,
        [
          "model.placement=\($0.rawValue)", "model.context=10", "data.digits=2",
          "data.samples=\(lab.scaled(8192, least: 64))", "batch=64",
        ])
    }
    let seeds = 0..<UInt64(lab.repeats(7))
    let tunings = try lab.tune(runs, rates: rates, before: seeds)
    let results = try lab.map(
      zip(runs, tunings).map { $0.at(learningRate: $1.best) }, seeds: seeds
    ) { try train($0) }
    let losses = results.map { $0.map(\.loss) }
    let gains = [3, 4].map { differences(losses[0], losses[$0]) }
    var figures: [Figure] = []
    for (placement, runs) in zip(placements.map(\.rawValue), results) {
      figures += [
        Figure("\(placement): test loss", runs.map(\.loss)),
        Figure("\(placement): training loss", runs.map(\.lastLoss)),
        Figure("\(placement): characters right", runs.map { 100 * $0.accuracy }, unit: "%"),
        Figure("\(placement): answers right", runs.map { 100 * ($0.exactMatch ?? 0) }, unit: "%"),
      ]
    }
    figures += [
      Figure("test loss, pre less hybrid", gains[0]),
      Figure("test loss, pre less hybrid-star", gains[1]),
    ]
    figures += zip(placements, tunings).flatMap { $1.figures($0.rawValue) }
    return Outcome(
      Verdict(all: gains.map(lab.signTest(parts: 2).verdict)),
      because: """
        pre-norm's test loss minus hybrid's is \(threeDigits(median(gains[0]))), and minus hybrid-star's \
        \(threeDigits(median(gains[1]))). The paper's benchmarks, BasicArithmetic, HellaSwag and COPA, \
        are for language models of a billion parameters and are not run: this verdict is about sums only
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}
