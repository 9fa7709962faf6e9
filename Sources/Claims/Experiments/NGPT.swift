extension Claim {
  static let nGPT = Claim(
    id: "ngpt",
    statement: "nGPT reaches a pre-norm transformer's loss in 4 to 20 times fewer steps.",
    source: "Loshchilov et al., 2024, abstract, https://arxiv.org/abs/2410.01131",
    method: """
      A pre-norm transformer (rotary positions, SwiGLU, untied embeddings, warm-up, weight decay) and \
      an nGPT (no warm-up, no weight decay), 4 blocks of width 32, learn sums and differences of up to \
      two digits, each at its best rate of 0.0016, 0.004, 0.01, 0.025 and 0.06. Measured is how many \
      steps each needs until its mean loss over ten steps reaches the mean loss of the last tenth of \
      pre-norm's run.
      """,
    rule: """
      The speed-up is pre-norm's steps over nGPT's, seed by seed. Holds if it is 4 or more in every \
      repeat, does not hold if it is in none, else undecided. If nGPT does not get there in the run's \
      steps, its speed-up is 0; if pre-norm diverges, it is infinite.
      """, minutes: 1.6
  ) { lab in
    let steps = lab.scaled(600)
    let rates = [1.6e-3, 4e-3, 1e-2, 2.5e-2, 6e-2]
    let shared = ["model.context=10", "data.digits=2", "data.samples=8192", "batch=64"]
    let runs = [
      try lab.arithmeticRun(
        steps: steps,
        shared + [
          "model.positions=rotary", "model.activation=swiglu", "model.tiedEmbedding=false",
          "optimizer.weightDecay=0.1",
        ]),
      try lab.arithmeticRun(
        steps: steps,
        [
          "model={kind: ngpt, context: 10, width: 32, heads: 2, layers: 4}",
          "optimizer.weightDecay=0", "schedule.warmupSteps=0",
        ] + shared.dropFirst()),
    ]
    let seeds = 0..<UInt64(lab.scaled(5))
    let tunings = try lab.tune(runs, rates: rates, before: seeds)
    let results = try lab.map(
      zip(runs, tunings).map { $0.at(learningRate: $1.best) }, seeds: seeds
    ) { try train($0) }
    let speedUps = zip(results[0], results[1]).map { preNorm, normalized in
      guard let slow = preNorm.steps(to: preNorm.lastLoss), preNorm.divergedAt == nil else {
        return Double.infinity
      }
      return normalized.steps(to: preNorm.lastLoss).map { Double(slow) / Double($0) } ?? 0
    }
    let least = 4.0
    let enough = speedUps.count { $0 >= least }
    let names = ["pre-norm", "nGPT"]
    let marks = [4, 2, 1].map { (share: "1/\($0) of the steps", step: max(1, steps / $0)) }
    let curves = zip(names, results).flatMap { name, runs in
      marks.map { mark in
        Figure(
          "\(name): training loss at \(mark.share)",
          runs.map { $0.losses.count < mark.step ? .infinity : $0.loss(at: mark.step) })
      }
    }
    return Outcome(
      enough == speedUps.count ? .holds : enough == 0 ? .fails : .undecided,
      because: """
        nGPT gets there \(threeDigits(median(speedUps))) times as fast in steps, on short sums; the \
        paper's factor is for sequences of 1,024 tokens and more
        """,
      [Figure("speed-up in steps", speedUps)] + curves
        + zip(names, results).flatMap { name, runs in
          [
            Figure("\(name): test loss", runs.map(\.loss)),
            Figure("\(name): answers right", runs.map { 100 * ($0.exactMatch ?? 0) }, unit: "%"),
          ]
        } + zip(names, tunings).flatMap { $1.figures($0) })
  }
}
