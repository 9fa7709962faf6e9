import LockstepConfiguration

/// A document, then assignments.
func readConfiguration(_ input: [UInt8]) {
  let parts = files(input, count: 4).map { String(decoding: $0, as: UTF8.self) }
  let assignments = parts.dropFirst().filter { !$0.isEmpty }
  guard
    let configuration = try? RunConfiguration(
      yaml: parts[0], name: "input.yaml", set: Array(assignments))
  else { return }
  // The resolved configuration is the same run.
  guard let resolved = try? configuration.resolvedYAML else {
    preconditionFailure("a configuration cannot be written")
  }
  do {
    let again = try RunConfiguration(yaml: resolved, name: "resolved.yaml")
    let text = try again.resolvedYAML
    precondition(text == resolved, "a resolved configuration changed")
    let differences = try RunConfiguration.differences([configuration, again])
    precondition(differences.isEmpty, "a configuration changed")
  } catch { preconditionFailure("a resolved configuration is refused: \(error)\n\(resolved)") }
}

func configurationSeeds() throws -> [[UInt8]] {
  let digits = """
    name: digits
    model:
      kind: mlp
      hidden: [32, 16]
      norm: {kind: batch, epsilon: 1e-5}
    data: {kind: digits}
    batch: 64
    epochs: 2
    optimizer: {kind: sgd, learningRate: 0.1}
    """
  let residual = """
    model: {kind: resnet, blocks: [1, 2], widths: [8, 16], norm: {kind: group, groups: 4}}
    data: {kind: cifar10, path: data/cifar, augment: {crop: 4, flip: true}}
    batchPerRank: 8
    steps: 100
    optimizer: {kind: adamw, learningRate: 1e-3, betas: [0.9, 0.99]}
    schedule: {decay: step, milestones: [50], factor: 0.1}
    clipNorm: 1
    evaluate: {everySteps: 10}
    """
  let transformer = """
    model: {kind: transformer, context: 8, width: 16, heads: 2, layers: 2, positions: rotary}
    data: {kind: text, path: corpus.txt}
    batch: 8
    steps: 10
    optimizer: {kind: adamw, learningRate: 1e-3}
    schedule: {warmupSteps: 2, decay: cosine}
    """
  let documents = [digits, residual, transformer]
  let resolved = try documents.map { try RunConfiguration(yaml: $0, name: "seed").resolvedYAML }
  return (documents + resolved).map { Array($0.utf8) } + [
    input([digits, "model.norm.kind=layer", "batch=", "batchPerRank=4"].map { Array($0.utf8) })
  ]
}
