import LockstepAnalysis
import LockstepAutograd
import LockstepConfiguration
import LockstepDatasets
import LockstepKernels
import LockstepLayers
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors

extension Claim {
  static let earlyStopping = Claim(
    id: "early-stopping",
    statement: """
      Under layer norm the weights grow in training, and the larger they are, the less a step turns \
      them, which acts as an implicit early stopping.
      """,
    source: """
      Ba, Kiros & Hinton, 2016, section 5.2.2, https://arxiv.org/abs/1607.06450; sthasushant, A Note on Normalization, \
      on layer normalization
      """,
    method: """
      An MLP (64, 64) on the digits by plain SGD without weight decay, 5 seeds, learning rates 0.1 and \
      1, layer norm against none. W is a hidden layer's weight and bias together, since the norm sees \
      both together. A step turns W by an angle; its tangent is the learning rate times the part of the \
      gradient perpendicular to W, over ‖W‖. At the end the angle is measured again with every hidden W \
      doubled, on the same 128 images. Growth alone leaves (‖W‖ at the start / at the end)² of the angle.
      """,
    rule: """
      Holds if with every seed (1) ‖W‖ of both layers grows under layer norm at both rates; (2) \
      doubled weights give the same outputs to within 1%, and a quarter of the angle to within a tenth \
      of that quarter; and (3) at rate 1 growth alone leaves less than 90% of the angle, as a mean over \
      both layers. Does not hold if the contrary of any of these is true with every seed; else undecided.
      """, minutes: 0.1
  ) { lab in
    let base = try lab.configuration(
      """
      model: {kind: mlp, hidden: [64, 64], norm: {kind: none}}
      data: {kind: digits}
      batch: 128
      steps: \(lab.scaled(1500, least: 5))
      optimizer: {kind: sgd, learningRate: 0.1}
      """)
    let data = try base.loadData()
    let seeds = lab.scaled(5)
    let settings: [(norm: NormKind, rate: Double)] = [
      (.layer, 0.1), (.layer, 1), (.none, 0.1), (.none, 1),
    ]
    let runs = settings.flatMap { norm, rate in
      (1...seeds).map { seed in
        var run = base.with(norm: norm)
        (run.learningRate, run.seed) = (rate, UInt64(seed))
        return run
      }
    }
    let trained = try lab.map(runs) { configuration in
      try train(configuration, data: data) { run, _ in
        let atEnd = run.stepsTaken == run.totalSteps
        guard run.stepsTaken == 0 || atEnd else { return [] }
        let lengths = hidden.map { Joint($0, of: run.model).length }
        return lengths + (atEnd ? try doubled(run.model, data.train.batch(0..<128)) : [])
      }
    }
    func results(_ i: Int) -> [Run] { trained[i * seeds..<(i + 1) * seeds].map(Run.init) }
    var figures: [Figure] = []
    for (i, (norm, rate)) in settings.enumerated() {
      let (runs, name) = (results(i), "\(norm.rawValue), rate \(rate)")
      for layer in 0..<2 {
        figures.append(
          Figure(
            "\(name): ‖W\(layer + 1)‖ at the end / start", runs.map { $0.growth[layer] }))
      }
      if norm == .layer {
        figures.append(
          Figure("\(name): angle that growth leaves", runs.map { 100 * $0.angleLeft }, unit: "%"))
      }
      for layer in 0..<2 {
        figures.append(
          Figure(
            "\(name): angle with doubled weights, W\(layer + 1)",
            runs.map { 100 * $0.turns[layer] }, unit: "%"))
      }
      figures.append(Figure("\(name): final loss", runs.map(\.loss)))
    }
    let normalized = results(0) + results(1)
    let verdicts = [
      Verdict(allPositive: normalized.flatMap { $0.growth.map { $0 - 1 } }),
      Verdict(allPositive: normalized.map { 0.01 - $0.outputChange }),
      Verdict(allPositive: normalized.flatMap { $0.turns.map { 0.025 - abs($0 - 0.25) } }),
      Verdict(allPositive: results(1).map { 0.9 - $0.angleLeft }),
    ]
    func median(_ runs: [Run], _ value: (Run) -> Double) -> Double {
      MedianInterval(runs.map(value)).median
    }
    return Outcome(
      Verdict(all: verdicts),
      because: """
        the growth of ‖W‖ leaves \(percent(100 * median(results(0), \.angleLeft))) of the angle at \
        rate 0.1 and \(percent(100 * median(results(1), \.angleLeft))) at rate 1; at rate 0.1 ‖W1‖ \
        grows by a factor of \((100 * median(results(0)) { $0.growth[0] }).rounded() / 100), and \
        without a norm by a factor of \((100 * median(results(2)) { $0.growth[0] }).rounded() / 100)
        """, figures)
  }
}

/// The hidden layers.
private let hidden = ["fc1", "fc2"]

/// The results of one run; infinite if it diverged.
private struct Run {
  /// The ratio of ‖W‖ at the end to that at the start, by layer.
  let growth: [Double]
  /// The ratio of a step's angle with doubled weights to that with unchanged weights, by layer.
  let turns: [Double]
  /// How much doubled weights change the outputs.
  let outputChange: Double
  /// The mean loss of the last steps.
  let loss: Double

  init(_ trained: Trained) {
    let notes = trained.notes
    let whole = trained.divergedAt == nil
    growth = whole ? [notes[2] / notes[0], notes[3] / notes[1]] : [.infinity, .infinity]
    turns = whole ? [notes[4], notes[5]] : [.infinity, .infinity]
    outputChange = whole ? notes[6] : .infinity
    loss = trained.lastLoss
  }

  /// The share of a step's angle that growth alone leaves, as a mean over layers.
  var angleLeft: Double { growth.reduce(0) { $0 + 1 / ($1 * $1) } / Double(growth.count) }
}

/// A hidden layer's weight and bias as one vector.
private struct Joint {
  private let parameters: [Parameter]

  init(_ layer: String, of model: Model) {
    parameters = model.parameters.filter { ["\(layer).weight", "\(layer).bias"].contains($0.name) }
  }

  var length: Double {
    parameters.reduce(0) { $0 + Kernel.sumOfSquares($1.value) }.squareRoot()
  }

  func double() {
    for parameter in parameters {
      Kernel.scale(parameter.value, by: 2)
    }
  }

  /// The tangent of the angle by which a step of rate 1 turns the vector.
  var turn: Double {
    var (gradient, along) = (0.0, 0.0)
    for parameter in parameters {
      gradient += Kernel.sumOfSquares(parameter.gradient)
      along += zip(parameter.value.elements, parameter.gradient.elements)
        .reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let radial = along / length
    return max(0, gradient - radial * radial).squareRoot() / length
  }
}

/// The factor by which each hidden layer's angle changes when all hidden weights are doubled, and then the
/// relative change of the outputs.
private func doubled(_ model: Model, _ batch: Batch) throws -> [Double] {
  func pass() throws -> (output: Tensor, turns: [Double]) {
    for parameter in model.parameters { parameter.clearGradient() }
    let tape = Tape(.training)
    let output = try model(tape.input(batch.input), on: tape)
    try CrossEntropyLoss(output, labels: batch.labels)
      .backward(weight: 1 / Float(batch.labels.count), on: tape)
    return (output.value, hidden.map { Joint($0, of: model).turn })
  }
  return try keepingState(of: model) {
    let before = try pass()
    for layer in hidden { Joint(layer, of: model).double() }
    let after = try pass()
    return zip(after.turns, before.turns).map { $0 / max($1, .leastNormalMagnitude) }
      + [relativeChange(of: before.output, to: after.output)]
  }
}
