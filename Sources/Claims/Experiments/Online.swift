import LockstepAutograd
import LockstepConfiguration
import LockstepNorms
import LockstepTensors

extension Claim {
  static let online = Claim(
    id: "online",
    statement: """
      In online learning, with one sample a step, layer norm trains a network, and batch norm cannot: of one value a \
      channel no variance is left.
      """,
    source: """
      Ba, Kiros & Hinton, 2016, sections 1 and 3, https://arxiv.org/abs/1607.06450; \
      sthasushant, A Note on Normalization, on online settings
      """,
    method: """
      An MLP (64, 64) on the digits with one image a step, 2 epochs, 5 seeds, under no norm, layer and RMS norm. \
      Under batch norm the run is refused before it starts, so its layer itself is given 100 batches of one row in \
      training mode, and the largest difference between any two outputs is measured.
      """,
    rule: """
      Holds if with every seed the test accuracy under layer norm is above 80%, and batch norm's outputs are the \
      same for every input. Does not hold if the contrary of either is true with every seed; else undecided.
      """, minutes: 0.3
  ) { lab in
    let base = try lab.configuration(
      """
      model: {kind: mlp, hidden: [64, 64], norm: {kind: none}}
      data: {kind: digits}
      batch: 1
      steps: \(lab.scaled(2 * 1438, least: 5))
      optimizer: {kind: sgd, learningRate: 0.01}
      """)
    let norms: [NormKind] = [.none, .layer, .rms]
    let seeds = 1..<UInt64(lab.scaled(5) + 1)
    let results = try lab.map(norms.map { base.with(norm: $0) }, seeds: seeds) { run in
      var trained = try train(run)
      trained.losses = []
      return trained
    }
    let spread = try spreadOfBatchesOfOne()
    let accuracies = results.map { $0.map { 100 * $0.accuracy } }
    return Outcome(
      Verdict(
        all: [Verdict(allPositive: accuracies[1].map { $0 - 80 }), Verdict(spread == 0)]),
      because: """
        with one image a step the test accuracy is \(percent(median(accuracies[1]))) under layer norm and \
        \(percent(median(accuracies[0]))) without a norm; a batch norm of one row puts out the same whatever it is \
        given
        """,
      zip(norms, accuracies).map { Figure("\($0.rawValue): test accuracy", $1, unit: "%") } + [
        Figure("batch: largest difference between outputs of one row", spread)
      ])
  }
}

/// The largest difference between the outputs of batch norm for batches of one row.
private func spreadOfBatchesOfOne() throws -> Double {
  let norm = makeNorm(NormSite("norm", channels: 8), NormSettings(.batch))
  var random = RandomStream(seed: 1, site: .synthetic)
  let outputs = try (0..<100).map { _ in
    let tape = Tape(.training)
    let x = Tensor((0..<8).map { _ in random.normal() }, shape: [1, 8])
    return try norm(tape.input(x), on: tape).value.elements
  }
  return outputs.reduce(0) { spread, output in
    max(spread, zip(output, outputs[0]).reduce(0) { max($0, Double(abs($1.0 - $1.1))) })
  }
}
