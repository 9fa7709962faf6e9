import LockstepAnalysis
import LockstepConfiguration
import LockstepNorms

extension Claim {
  static let dynamicTanh = Claim(
    id: "dynamic-tanh",
    statement: """
      Transformers without normalization train as well as with layer norm, if dynamic tanh stands in its place.
      """,
    source:
      "Zhu, Chen, He, LeCun & Liu, 2025, abstract and section 5, https://arxiv.org/abs/2503.10622",
    method: """
      Transformers of 2 blocks of width 32 and of 4 blocks of width 48 on sums and differences of two digits, \
      for a third of the steps and for all of them, 7 seeds or more, under layer norm and dynamic tanh, each at \
      the rate of 0.001, 0.003 and 0.01 at which one run under another seed has the lowest test loss.
      """,
    rule: """
      For each size and budget the test loss of dynamic tanh is compared with that of layer norm under the same \
      seed, as a relative difference. Holds if the median is at most +5% in all four; does not hold if in any of \
      them it is above +5% and the interval is above 0; else undecided.
      """, minutes: 2.2
  ) { lab in
    let norms: [NormKind] = [.layer, .dynamicTanh]
    let tasks = try [(2, 32), (4, 48)].flatMap { layers, width in
      try [150, 450].map { steps in
        (
          name: "\(layers) blocks of \(width), \(steps) steps",
          run: try lab.configuration(
            """
            model: {kind: transformer, context: 10, width: \(width), heads: 4, layers: \(layers)}
            data: {kind: arithmetic, digits: 2, samples: 8192}
            batch: 32
            steps: \(lab.scaled(steps, least: 4))
            optimizer: {kind: adamw, learningRate: 1e-3}
            schedule: {warmupSteps: \(lab.scaled(steps / 10)), decay: cosine}
            """)
        )
      }
    }
    let seeds = 0..<UInt64(lab.repeats(7))
    let runs = tasks.flatMap { task in norms.map { task.run.with(norm: $0) } }
    let tunings = try lab.tune(runs, rates: [1e-3, 3e-3, 1e-2], before: seeds)
    let results = try lab.map(
      zip(runs, tunings).map { $0.at(learningRate: $1.best) }, seeds: seeds
    ) { run in
      var trained = try train(run)
      trained.losses = []
      return trained
    }
    var (figures, verdicts, because): ([Figure], [Verdict], [String]) = ([], [], [])
    for (t, task) in tasks.enumerated() {
      let (layer, tanh) = (results[2 * t], results[2 * t + 1])
      for (norm, runs) in zip(norms, [layer, tanh]) {
        figures += [
          Figure("\(task.name), \(norm.rawValue): test loss", runs.map(\.loss)),
          Figure(
            "\(task.name), \(norm.rawValue): rate", tunings[2 * t + (norm == .layer ? 0 : 1)].best),
        ]
      }
      let relative = zip(tanh, layer).map {
        $0.loss.isFinite ? 100 * ($0.loss / $1.loss - 1) : Double.infinity
      }
      let interval = MedianInterval(relative, level: lab.level)
      figures.append(
        Figure(
          "\(task.name): loss of dynamic tanh against layer", interval, samples: seeds.count,
          unit: "%"))
      verdicts.append(
        interval.median <= 5
          ? .holds : interval.low > 0 && lab.decides(seeds.count) ? .fails : .undecided)
      because.append("\(percent(interval.median)) with \(task.name)")
    }
    return Outcome(
      Verdict(all: verdicts),
      because: "the test loss of dynamic tanh differs by " + because.joined(separator: ", ")
        + ". The paper's networks have millions to billions of parameters and train on ImageNet and text",
      figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}
