import Foundation
import LockstepAutograd
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepKernels
import LockstepLayers
import LockstepModels
import LockstepRuns
import LockstepTensors

extension Claim {
  static let warmUp = Claim(
    id: "warm-up",
    statement: "Post-norm transformers need learning-rate warm-up, pre-norm ones do not.",
    source: "Xiong et al., 2020, sections 3 and 4, https://arxiv.org/abs/2002.04745",
    method: """
      Transformers of 2, 6 and 12 blocks of width 32 learn sums of digits under Adam at the rates \
      0.0003, 0.001, 0.003 and 0.01, with post- or pre-norm. A third of the steps or none are warm-up; \
      then the rate falls to 0. Matrices are initialized by Xavier's rule, as in the paper. A run is stuck \
      if it diverges or ends less than 5% below the entropy of the answers' characters, which a network \
      reaches without looking at the question. Also measured is the gradient of every block's last matrix \
      before the first step. The paper finds that it is large near a post-norm network's output at any \
      depth, and shrinks as 1/√depth in a pre-norm network.
      """,
    rule: """
      At 12 blocks, each placement at the rate whose median final training loss is lowest with \
      warm-up, over paired seeds: holds if going without warm-up raises post-norm's loss in every pair, \
      raises it more than pre-norm's in every pair, and leaves no pre-norm run stuck. Does not hold if \
      one of the first two is true in no pair or a pre-norm run is stuck; else undecided.
      """, minutes: 2
  ) { lab in
    let steps = lab.scaled(150)
    let seeds = 0..<UInt64(lab.scaled(5))
    let (placements, depths, rates) = (["post", "pre"], [2, 6, 12], [3e-4, 1e-3, 3e-3, 1e-2])
    func run(_ placement: String, _ depth: Int, warmup: Bool, _ rate: Double) throws
      -> RunConfiguration
    {
      try lab.arithmeticRun(
        steps: steps,
        [
          "model.placement=\(placement)", "model.layers=\(depth)", "model.tiedEmbedding=false",
          "schedule.warmupSteps=\(warmup ? steps / 3 : 0)",
        ]
      ).at(learningRate: rate)
    }
    var figures: [Figure] = []
    // After the loop, these are the trials of the deepest networks.
    var trials: [Trials] = []
    for depth in depths {
      trials = try placements.map { placement in
        let runs = try [true, false].flatMap { warmup in
          try rates.map { try run(placement, depth, warmup: warmup, $0) }
        }
        let endings = try lab.map(runs, seeds: seeds, trainFromXavier)
        return Trials(
          with: Array(endings[..<rates.count]), without: Array(endings[rates.count...]))
      }
      for (placement, trials) in zip(placements, trials) {
        let name = "\(placement), \(depth) blocks"
        for (arm, endings) in [("with", trials.with), ("without", trials.without)] {
          figures += zip(rates, endings).map { rate, runs in
            Figure("\(name), rate \(rate) \(arm): loss", runs.map(\.loss))
          }
          figures.append(
            Figure(
              "\(name), \(arm): stuck runs",
              100 * Double(stuck(endings)) / Double(rates.count * seeds.count), unit: "%"))
        }
        figures.append(
          Figure(
            "\(name), rate \(rates[trials.best]): loss without, less with",
            trials.cost(trials.best)))
      }
    }
    var last: [[[Double]]] = []
    for depth in depths {
      let norms = try lab.map(
        placements.map { try run($0, depth, warmup: false, 0) }, seeds: seeds, lastGradients)
      last.append(norms.map { $0.map { $0[depth - 1] } })
      figures += zip(placements, norms).flatMap { placement, norms in
        [0, depth - 1].map { block in
          Figure(
            "\(placement), \(depth) blocks: gradient of block \(block + 1) at the start",
            norms.map { $0[block] })
        }
      }
    }
    let shrinking = placements.indices.map { placement in
      median(zip(last[last.count - 1][placement], last[0][placement]).map { $0 / $1 })
    }
    let (post, pre) = (trials[0], trials[1])
    let costs = trials.map { $0.cost($0.best) }
    func words(_ values: [Double]) -> String { threeDigits(median(values)) }
    return Outcome(
      Verdict(all: [
        Verdict(allPositive: costs[0]), Verdict(allPositive: differences(costs[0], costs[1])),
        Verdict(stuck([pre.without[pre.best]]) == 0),
      ]),
      because: """
        at 12 blocks and each placement's best rate with warm-up, going without raises the loss of \
        post-norm by \(words(costs[0])) (rate \(rates[post.best])) and of pre-norm by \(words(costs[1])) \
        (rate \(rates[pre.best])); at the common rate of \(rates[2]), by \(words(post.cost(2))) and \
        \(words(pre.cost(2))). Stuck without warm-up over all rates: \(stuck(post.without)) post \
        and \(stuck(pre.without)) pre of \(rates.count * seeds.count) runs each. From 2 to 12 \
        blocks the last block's gradient becomes \(threeDigits(shrinking[0])) times as large in post \
        and \(threeDigits(shrinking[1])) times in pre (1/√depth: 0.408). The paper's translation and \
        language tasks are not run
        """, figures)
  }
}

/// The result of a run with Xavier's initialization.
private struct Ending: Codable, Sendable {
  /// The final training loss.
  let loss: Double
  /// Whether the run learned nothing beyond what it can know without looking at the question.
  let isStuck: Bool
}

/// One network's runs with and without warm-up, by rate, then by seed.
private struct Trials {
  let with: [[Ending]]
  let without: [[Ending]]

  /// The index of the rate that is best with warm-up.
  var best: Int {
    with.indices.min { median(with[$0].map(\.loss)) < median(with[$1].map(\.loss)) } ?? 0
  }

  /// How much going without warm-up raises the loss at a rate, by seed.
  func cost(_ rate: Int) -> [Double] {
    differences(without[rate].map(\.loss), with[rate].map(\.loss))
  }
}

private func stuck(_ endings: [[Ending]]) -> Int { endings.joined().count(where: \.isStuck) }

private func trainFromXavier(_ configuration: RunConfiguration) throws -> Ending {
  let data = try configuration.loadData()
  let trained = try train(configuration, data: data) { run, result in
    if result == nil { initializeAsXavier(run.model) }
    return []
  }
  return Ending(
    loss: trained.lastLoss, isStuck: trained.lastLoss > 0.95 * entropyOfLabels(of: data.train))
}

/// The entropy of the labels that count.
private func entropyOfLabels(of data: any Dataset) -> Double {
  let labels = data.batch(0..<data.count).labels
  var counts: [Int32: Double] = [:]
  for label in labels.copy(0..<labels.count) where label >= 0 { counts[label, default: 0] += 1 }
  let total = counts.values.reduce(0, +)
  return counts.values.reduce(0) { $0 - $1 / total * log($1 / total) }
}

/// The norms of the gradients of the blocks' last matrices before the first step.
private func lastGradients(_ configuration: RunConfiguration) throws -> [Double] {
  let data = try configuration.loadData()
  let run = try TrainingRun(configuration, data: data, context: RankContext(Solo()))
  initializeAsXavier(run.model)
  let indices = Array(0..<min(64, data.train.count))
  let batch = data.train.batch(indices)
  let tape = Tape(.training)
  let loss = CrossEntropyLoss(
    try run.model(tape.input(batch.input), on: tape), labels: batch.labels)
  try loss.backward(weight: 1 / Float(data.train.labelCount(indices[...])), on: tape)
  return run.model.parameters.filter { $0.name.hasSuffix("mlp.c_proj.weight") }
    .map { Kernel.sumOfSquares($0.gradient).squareRoot() }
}

/// Scales every matrix to the deviation of Xavier's rule.
///
/// Query, key and value count as separate matrices. The embeddings get a deviation at which their sum has
/// that of a normalized stream, 1.
private func initializeAsXavier(_ model: Model) {
  for parameter in model.parameters where parameter.value.shape.rank == 2 {
    let (outputs, inputs) = (parameter.value.shape[0], parameter.value.shape[1])
    let isEmbedding = ["wte", "wpe"].contains { parameter.name.contains($0) }
    let parts = parameter.name.contains("c_attn") ? 3 : 1
    let deviation =
      isEmbedding ? 0.5.squareRoot() : (2 / Double(inputs + outputs / parts)).squareRoot()
    let now = (Kernel.sumOfSquares(parameter.value) / Double(parameter.value.count)).squareRoot()
    Kernel.scale(parameter.value, by: Float(deviation / now))
  }
}
