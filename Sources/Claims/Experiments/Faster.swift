import Foundation
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
  static let faster = Claim(
    id: "faster",
    statement: """
      Normalization lets a network with saturating activations learn in fewer steps, at larger \
      learning rates and from more initial scales, because the distributions of layer inputs shift \
      less (internal covariate shift).
      """,
    source: """
      Ioffe & Szegedy, 2015, abstract and sections 1 to 3, https://arxiv.org/abs/1502.03167; \
      sthasushant, A Note on Normalization, on batch and layer normalization
      """,
    method: """
      The paper's network (section 4.1: 3 hidden layers of 100 sigmoid units, batches of 60, SGD) on \
      the digits under no norm, batch and layer norm, 7 seeds or more. First it runs at every learning \
      rate of a grid from 0.03 to 100; then at each norm's fastest rate for the seed, with initial hidden \
      weights times 0.1, 1 and 10. The target is a training loss of 0.3 (mean of ten steps). Drift is \
      measured at the inputs of the second and third layer's sigmoids on 256 test images, every 10 steps \
      until the target or the end. It is the sum of how far each unit's mean moves, in units of its \
      deviation over the images at that time, as a mean over units. The same sum is given without \
      dividing, too, since units deep in a network without a norm hardly differ between images.
      """,
    rule: """
      Four parts, each a sign test over the seeds, for batch against none and for layer against none: \
      fewer steps to the target at the fastest rate; a higher maximum of the rates that end at the \
      target or below; a lower worst final loss over the initial scales (at most ln 10); less drift. \
      Holds if all hold, does not hold if any fails, else undecided.
      """, minutes: 1.7
  ) { lab in
    let steps = lab.scaled(1000, least: 20)
    let base = try lab.configuration(
      """
      model: {kind: mlp, hidden: [100, 100, 100], activation: sigmoid, norm: {kind: none}}
      data: {kind: digits}
      batch: 60
      steps: \(steps)
      optimizer: {kind: sgd, learningRate: 0.1}
      """)
    let data = try base.loadData()
    let norms: [NormKind] = [.none, .batch, .layer]
    let rates: [Double] = [0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
    let seeds = lab.repeats(7)
    func run(_ norm: NormKind, _ rate: Double, _ seed: Int) -> RunConfiguration {
      var run = base.with(norm: norm)
      (run.learningRate, run.seed) = (rate, UInt64(seed))
      return run
    }
    var runs: [RunConfiguration] = []
    for norm in norms {
      for seed in 1...seeds { runs += rates.map { run(norm, $0, seed) } }
    }
    let grid = try lab.map(runs) { try Progress(train($0, data: data), steps: steps) }
    /// The runs of one norm and seed, by rate.
    func byRate(_ norm: Int, _ seed: Int) -> ArraySlice<Progress> {
      let first = (norm * seeds + seed) * rates.count
      return grid[first..<first + rates.count]
    }
    /// The rate with the fewest steps to the target, or with the lowest loss if none reaches it.
    func fastest(_ norm: Int, _ seed: Int) -> Double {
      let runs = Array(byRate(norm, seed))
      let best = rates.indices.min {
        (runs[$0].stepsToTarget, runs[$0].lastLoss) < (runs[$1].stepsToTarget, runs[$1].lastLoss)
      }
      return rates[best ?? 0]
    }
    let scales: [Float] = [0.1, 1, 10]
    let images = data.test.batch(0..<256).input
    let scaled = try lab.map(
      norms.indices.flatMap { norm in
        (0..<seeds).flatMap { seed in
          scales.map { (run(norms[norm], fastest(norm, seed), seed + 1), $0) }
        }
      }
    ) { configuration, scale in
      var drift = Drift(images)
      let trained = try train(configuration, data: data) { run, result in
        if result == nil { scaleHiddenWeights(of: run.model, by: scale) }
        guard scale == 1, run.stepsTaken % 10 == 0 else { return [] }
        return try drift.advance(run)
      }
      return Progress(trained, steps: steps)
    }
    let columns = norms.indices.map { norm in
      let runs = (0..<seeds).map { seed in
        let first = (norm * seeds + seed) * scales.count
        return Array(scaled[first..<first + scales.count])
      }
      return Column(
        steps: (0..<seeds).map { seed in Double(byRate(norm, seed).map(\.stepsToTarget).min() ?? 0)
        },
        fastest: (0..<seeds).map { fastest(norm, $0) },
        largest: (0..<seeds).map { seed in
          zip(rates, byRate(norm, seed)).filter { $0.1.lastLoss <= Progress.target }.last?.0 ?? 0
        }, worst: runs.map { $0.map(\.lastLoss).max() ?? 0 }, drift: runs.map { $0[1].drift },
        movement: runs.map { $0[1].movement })
    }
    var verdicts: [Verdict] = []
    var because: [String] = []
    for (name, column) in zip(["batch", "layer"], columns[1...]) {
      let parts = columns[0].comparisons(with: column, lab.signTest(parts: 8))
      verdicts += parts.map(\.verdict)
      because.append(
        "\(name): " + parts.map { "\($0.name) \($0.verdict.rawValue)" }.joined(separator: ", "))
    }
    return Outcome(
      Verdict(all: verdicts), because: because.joined(separator: "; "),
      zip(norms, columns).flatMap { $1.figures($0.rawValue, limit: steps) },
      smallestEffect: lab.signTest().smallestEffect(pairs: seeds))
  }
}

/// The course of a run.
private struct Progress: Codable, Sendable {
  /// The training loss to reach.
  static let target = 0.3
  /// The number of steps to the target; one more than the run has if it is not reached.
  let stepsToTarget: Int
  /// The mean loss of the last tenth of the steps, but at most the loss of guessing.
  let lastLoss: Double
  /// How far the units' means moved until the target or the end, in deviations.
  let drift: Double
  /// How far the units' means moved, not divided by deviations.
  let movement: Double

  init(_ trained: Trained, steps: Int) {
    let reached = trained.divergedAt == nil ? trained.steps(to: Self.target) : nil
    stepsToTarget = reached ?? steps + 1
    lastLoss = min(trained.lastLoss, log(10))
    let moves = trained.notes.prefix(2 * ((reached ?? steps) / 10 + 1))
    (drift, movement) = stride(from: 0, to: moves.count, by: 2).reduce((0, 0)) {
      ($0.0 + moves[$1], $0.1 + moves[$1 + 1])
    }
  }
}

/// One norm's figures by seed.
private struct Column {
  let steps: [Double]
  let fastest: [Double]
  let largest: [Double]
  let worst: [Double]
  let drift: [Double]
  let movement: [Double]

  /// The parts of the rule, which compare `norm` with this column, whose network has no norm.
  func comparisons(with norm: Column, _ test: SequentialSignTest) -> [(
    name: String, verdict: Verdict
  )] {
    func lower(_ figure: KeyPath<Column, [Double]>) -> Verdict {
      test.verdict(zip(self[keyPath: figure], norm[keyPath: figure]).map { $0 - $1 })
    }
    return [
      ("fewer steps", lower(\.steps)),
      ("larger rates", test.verdict(zip(norm.largest, largest).map { $0 - $1 })),
      ("more initial scales", lower(\.worst)), ("less drift", lower(\.drift)),
    ]
  }

  func figures(_ norm: String, limit: Int) -> [Figure] {
    [
      Figure("\(norm): steps to the target (\(limit + 1): not reached)", steps),
      Figure("\(norm): fastest rate", fastest),
      Figure("\(norm): largest rate that ends at the target", largest),
      Figure("\(norm): worst final loss over initial scales", worst),
      Figure("\(norm): drift until the target", drift, unit: "deviations"),
      Figure("\(norm): movement until the target", movement),
    ]
  }
}

private func scaleHiddenWeights(of model: Model, by factor: Float) {
  for parameter in model.parameters
  where parameter.name.hasPrefix("fc") && parameter.name.hasSuffix(".weight")
    && parameter.name != "fc.weight"
  {
    Kernel.scale(parameter.value, by: factor)
  }
}

/// Measures how far the distributions of the inputs of the second and later hidden layers' activations move.
private struct Drift {
  private let images: Tensor
  private var before: [(mean: Double, deviation: Double)] = []

  init(_ images: Tensor) {
    self.images = images.reshaped([images.shape[0], images.shape.dimensions[1...].reduce(1, *)])
  }

  /// How far the units' means moved since the last call, as means over units: first in deviations at that
  /// call, then undivided.
  mutating func advance(_ run: TrainingRun) throws -> [Double] {
    let now = try moments(of: run)
    defer { before = now }
    let moved = zip(before, now).map { abs($1.mean - $0.mean) }
    let divided = zip(moved, before).map { $0 / max($1.deviation, 1e-6) }
    return [divided, moved].map { $0.reduce(0, +) / Double(now.count) }
  }

  /// The moments of every unit over the images, in training mode.
  private func moments(of run: TrainingRun) throws -> [(mean: Double, deviation: Double)] {
    let parameters = Dictionary(
      uniqueKeysWithValues: run.model.parameters.map { ($0.name, $0) })
    // Trained weights are used on a tape that does not record, since they need no gradients.
    let (tape, normTape) = (Tape(.evaluation), Tape(.training))
    var x = tape.input(images)
    var moments: [(mean: Double, deviation: Double)] = []
    var layer = 1
    while let weight = parameters["fc\(layer).weight"], let bias = parameters["fc\(layer).bias"] {
      x = try Linear("fc\(layer)", Weight(weight))(x, on: tape)
      Kernel.addRow(bias.value, to: x.value)
      let norm = makeNorm(
        NormSite("norm\(layer)", channels: bias.value.count), run.configuration.model.norm)
      for parameter in norm.parameters {
        if let trained = parameters[parameter.name] { parameter.value.write(trained.value) }
      }
      x = try norm(x, on: normTape)
      if layer > 1 { moments += columnMoments(x.value) }
      x = Activation.sigmoid(x, on: tape)
      layer += 1
    }
    return moments
  }
}
