import Foundation
import LockstepAutograd
import LockstepConfiguration
import LockstepDatasets
import LockstepKernelLoops
import LockstepKernels
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors

extension Claim {
  static let queryKeyNorms = Claim(
    id: "qk",
    statement: """
      Unit queries and keys bound attention's scores, keep the softmax from saturating when \
      queries and keys grow large, and so make training steadier.
      """,
    source: "Henry et al., 2020, section 3, https://arxiv.org/abs/2010.04245",
    method: """
      The rows of every block's weights that produce queries and keys are multiplied by 1, 4, 16 and \
      64 before a short training of a small transformer. It has plain attention, unit, layer-normed or \
      RMS-normed queries and keys, or scores capped softly to ±50. Scores are the first block's before \
      the softmax. Entropy is that of the first block's attention weights over the largest possible, in \
      percent, at positions that see more than one.
      """,
    rule: """
      With the factor 64, over paired seeds: holds if unit queries and keys have no initial score \
      beyond ±1 (temperature 1), and have smaller scores, a higher entropy at the start and a lower \
      training loss at the end than plain attention in every pair. Does not hold if one of these is \
      true in no pair; else undecided.
      """, minutes: 0.6
  ) { lab in
    let steps = lab.scaled(150)
    let seeds = 0..<UInt64(lab.scaled(5))
    let arms = [
      ("plain", ""), ("l2", "queryKeyNorm=l2"), ("layer", "queryKeyNorm=layer"),
      ("rms", "queryKeyNorm=rms"), ("capped", "softCap=50"),
    ]
    let runs = try arms.map { _, setting in
      try lab.arithmeticRun(steps: steps, setting.isEmpty ? [] : ["model.attention.\(setting)"])
    }
    var figures: [Figure] = []
    var last: [[[Double]]] = []
    let names = [
      ("largest score", ""), ("entropy", "%"), ("loss after", ""), ("loss", ""),
      ("largest score after", ""), ("entropy after", "%"),
    ]
    for growth in [1, 4, 16, 64] {
      last = try lab.map(runs, seeds: seeds) { try attend($0, growth: Float(growth)) }
      for (arm, results) in zip(arms, last) {
        figures += names.prefix(growth < 64 ? 3 : 6).enumerated().map { index, name in
          Figure("\(arm.0) ×\(growth), \(name.0)", results.map { $0[index] }, unit: name.1)
        }
      }
    }
    func figure(_ arm: Int, _ index: Int) -> [Double] { last[arm].map { $0[index] } }
    let verdict = Verdict(all: [
      // Unit vectors have length 1 only up to the rounding of their float32 channels.
      Verdict(allPositive: figure(1, 0).map { 1 + 1e-5 - $0 }),
      Verdict(allPositive: differences(figure(0, 0), figure(1, 0))),
      Verdict(allPositive: differences(figure(1, 1), figure(0, 1))),
      Verdict(allPositive: differences(figure(0, 2), figure(1, 2))),
    ])
    func words(_ index: Int) -> String {
      "\(threeDigits(median(figure(1, index)))) against \(threeDigits(median(figure(0, index))))"
    }
    return Outcome(
      verdict,
      because: """
        with the factor 64, unit against plain: largest score \(words(0)), entropy \(words(1))%, \
        loss after training \(words(2))
        """, figures)
  }
}

/// Trains a run whose queries and keys were first made larger by the factor `growth`.
///
/// - Returns: The largest score and the entropy in percent at the start, the loss after training and at the
///   start, and the largest score and the entropy after training.
private func attend(_ configuration: RunConfiguration, growth: Float) throws -> [Double] {
  let data = try configuration.loadData()
  let tokens = data.train.batch(0..<32).input
  let trained = try train(configuration, data: data) { run, result in
    if result == nil { grow(run.model, by: growth) }
    guard result == nil || run.stepsTaken == run.totalSteps else { return [] }
    let (largest, entropy) = attention(of: run, tokens)
    return [largest, 100 * entropy]
  }
  guard trained.divergedAt == nil, let first = trained.losses.first else {
    return trained.notes.prefix(2) + [.infinity, .infinity, .infinity, 0]
  }
  return trained.notes[..<2] + [trained.lastLoss, first] + trained.notes[2...]
}

/// Multiplies the rows of the weights that produce queries and keys.
private func grow(_ model: Model, by factor: Float) {
  for parameter in model.parameters where parameter.name.hasSuffix("c_attn.weight") {
    let rows = parameter.value.count / 3 * 2
    let elements = parameter.value.elements
    parameter.value.write(elements[..<rows].map { factor * $0 } + elements[rows...])
  }
}

/// The largest score of the first block in absolute value, and the mean entropy of its weights as a
/// share of the largest possible.
private func attention(of run: TrainingRun, _ tokens: Tensor) -> (largest: Double, entropy: Double)
{
  guard case .transformer(let settings) = run.configuration.model.kind else {
    preconditionFailure("attention is a transformer's")
  }
  let block = "transformer.h.0"
  func value(_ name: String) -> Tensor { run.model.parameter(name).value }
  let rule = RowRule(epsilon: Float(run.configuration.model.norm.epsilon))
  func layerNorm(_ x: Tensor, _ name: String) -> Tensor {
    LayerNorm.forward(x, gain: value("\(name).weight"), bias: value("\(name).bias"), rule: rule).y
  }
  let x = layerNorm(
    Kernel.addPositions(
      Kernel.embedding(tokens, value("transformer.wte.weight")), value("transformer.wpe.weight")),
    "\(block).ln_1")
  let (width, heads, length) = (settings.width, settings.heads, tokens.shape[1])
  let size = width / heads
  let projected = Tensor.uninitialized([tokens.shape[0], length, 3 * width])
  Kernel.matrixProduct(
    Operand(x), .transpose(value("\(block).attn.c_attn.weight")), into: projected)
  Kernel.addRow(value("\(block).attn.c_attn.bias"), to: projected)
  let kind = settings.attention.queryKeyNorm
  func vectors(_ part: Int, _ norm: String) -> [Float] {
    let rows = Kernel.columns(projected, part * width..<(part + 1) * width)
      .reshaped([tokens.shape[0], length, heads, size])
    let name = "\(block).attn.\(norm)"
    return switch kind {
    case .none: rows.elements
    case .l2: L2Norm.forward(rows, epsilon: run.configuration.model.norm.epsilon).y.elements
    case .layer: layerNorm(rows, name).elements
    case .rms: RMSNorm.forward(rows, gain: value("\(name).weight"), rule: rule).y.elements
    }
  }
  let (queries, keys) = (vectors(0, "q_norm"), vectors(1, "k_norm"))
  let scale =
    kind == .l2
    ? 1 / Double(value("\(block).attn.temperature").elements[0])
    : 1 / Double(size).squareRoot()
  let cap = settings.attention.softCap
  var (largest, entropy, rows) = (0.0, 0.0, 0.0)
  for sample in 0..<tokens.shape[0] {
    for head in 0..<heads {
      func first(_ position: Int) -> Int { ((sample * length + position) * heads + head) * size }
      for position in 1..<length {
        let scores = (0...position).map { key in
          let score =
            scale
            * (0..<size).reduce(0.0) {
              $0 + Double(queries[first(position) + $1]) * Double(keys[first(key) + $1])
            }
          return cap > 0 ? cap * tanh(score / cap) : score
        }
        let top = scores.max() ?? 0
        let weights = scores.map { exp($0 - top) }
        let sum = weights.reduce(0, +)
        let surprise = weights.reduce(0) { $1 > 0 ? $0 - $1 / sum * log($1 / sum) : $0 }
        entropy += surprise / log(Double(scores.count))
        largest = max(largest, scores.reduce(0) { max($0, abs($1)) })
        rows += 1
      }
    }
  }
  return (largest, entropy / rows)
}
