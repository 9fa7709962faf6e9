import LockstepAutograd
import LockstepConfiguration
import LockstepDatasets
import LockstepLayers
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors

extension Claim {
  static let recurrent = Claim(
    id: "recurrent",
    statement: """
      Layer norm trains a recurrent network in fewer steps, also at sequence lengths that it has not seen, where batch \
      norm's statistics of every time step do not carry over.
      """,
    source: """
      Ba, Kiros & Hinton, 2016, sections 1 and 6, https://arxiv.org/abs/1607.06450; batch statistics of every step: \
      Cooijmans et al., 2016, https://arxiv.org/abs/1603.09025
      """,
    method: """
      An LSTM of width 48 on sums and differences of digits, a character at a time, without a norm, with layer norm and \
      with batch norm of every step's rows, each at the rate of 0.003, 0.01 and 0.03 at which one run under another \
      seed has the lowest loss, 7 seeds or more. Measured are the steps to a training loss of 0.5, and in evaluation \
      the loss of the third of three problems that follow each other without the state being reset, less that of the \
      first: the positions of the third were never seen in training.
      """,
    rule: """
      Two sign tests over paired seeds: whether layer norm needs fewer steps than no norm, and whether the loss of the \
      third problem less that of the first is larger under batch norm than under layer norm. Both have to hold.
      """, minutes: 0.7
  ) { lab in
    let base = try lab.configuration(
      """
      model: {kind: lstm, context: 7, width: 48, layers: 1}
      data: {kind: arithmetic, digits: 1, samples: 2048}
      batch: 64
      steps: \(lab.scaled(400, least: 4))
      optimizer: {kind: adamw, learningRate: 0.01}
      clipNorm: 1
      """)
    let norms: [NormKind] = [.none, .layer, .batch]
    let seeds = 0..<UInt64(lab.repeats(7))
    let runs = norms.map { base.with(norm: $0) }
    let tunings = try lab.tune(runs, rates: [3e-3, 1e-2, 3e-2], before: seeds)
    let results = try lab.map(zip(runs, tunings).map { $0.at(learningRate: $1.best) }, seeds: seeds)
    {
      try Recurrence($0)
    }
    var figures: [Figure] = []
    for (norm, runs) in zip(norms, results) {
      let name = norm.rawValue
      figures += [
        Figure("\(name): steps to a loss of 0.5", runs.map(\.steps)),
        Figure("\(name): loss of the first problem", runs.map { $0.losses[0] }),
        Figure("\(name): loss of the third problem", runs.map { $0.losses[2] }),
      ]
    }
    figures += zip(norms, tunings).map { Figure("\($0.rawValue): rate", $1.best) }
    func longer(_ index: Int) -> [Double] {
      results[index].map { $0.losses[0].isFinite ? $0.losses[2] - $0.losses[0] : .infinity }
    }
    let parts = [
      differences(results[0].map(\.steps), results[1].map(\.steps)),
      differences(longer(2), longer(1)),
    ]
    return Outcome(
      Verdict(all: parts.map(lab.signTest(parts: 2).verdict)),
      because: """
        layer norm takes \(threeDigits(median(results[1].map(\.steps)))) steps where no norm takes \
        \(threeDigits(median(results[0].map(\.steps)))); beyond the lengths of training the loss grows by \
        \(threeDigits(median(longer(1)))) under layer norm and by \(threeDigits(median(longer(2)))) under batch norm. \
        The paper's networks are attentive readers, skip-thoughts, DRAW and handwriting, none of which is run
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}

/// How an LSTM trained, and how it goes on beyond the lengths that it saw.
private struct Recurrence: Codable, Sendable {
  /// The steps to the target; one more than the run has if it is not reached.
  let steps: Double
  /// The mean loss of each of three problems that follow each other.
  let losses: [Double]

  init(_ configuration: RunConfiguration) throws {
    var losses: [Double] = []
    let trained = try train(configuration) { run, _ in
      guard run.stepsTaken == run.totalSteps, let state = run.model.initialState else { return [] }
      let test = try configuration.loadData().test
      let size = min(64, test.count / 3)
      losses = try (0..<3).map { part in
        let batch = test.batch(part * size..<(part + 1) * size)
        let tape = Tape(.evaluation)
        let logits = try run.model(tape.input(batch.input), carrying: state, on: tape)
        let counted = batch.labels.copy(0..<batch.labels.count).count { $0 >= 0 }
        return CrossEntropyLoss(logits, labels: batch.labels).sum / Double(max(counted, 1))
      }
      return []
    }
    let reached = trained.divergedAt == nil ? trained.steps(to: 0.5) : nil
    steps = Double(reached ?? trained.losses.count + 1)
    self.losses = losses.isEmpty ? [.infinity, .infinity, .infinity] : losses
  }
}
