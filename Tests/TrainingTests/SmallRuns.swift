import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTraining

/// A network small enough to train within a test, on batches that no number of ranks divides and
/// a last batch smaller than four ranks.
func smallRun(
  _ norm: NormKind, activation: String = "gelu", steps: Int = 50, extra: [String] = []
) throws -> RunConfiguration {
  try RunConfiguration(
    yaml: """
      name: small
      seed: 3
      model:
        kind: resnet
        blocks: [1, 1]
        widths: [8, 16]
        activation: \(activation)
        norm: {kind: \(norm.rawValue), groups: 4}
      data: {kind: synthetic, imageSize: 8, channels: 3, classes: 5, samples: 38}
      batch: 7
      steps: \(steps)
      optimizer: {kind: sgd, learningRate: 0.05, momentum: 0.9, weightDecay: 5e-4}
      """, name: "small.yaml", set: extra)
}

/// What one rank saw of a run.
struct Seen: Sendable {
  var losses: [Double] = []
  var digests: [UInt64] = []
  var steps: [StepResult] = []
}

/// Trains on thread ranks and returns what each rank saw.
func trained(_ configuration: RunConfiguration, ranks: Int) throws -> [Seen] {
  let data = try configuration.loadData()
  return try withThreadRanks(ranks) { world in
    let run = try TrainingRun(configuration, data: data, context: RankContext(world))
    var seen = Seen()
    while run.stepsTaken < run.totalSteps {
      let result = try run.step()
      seen.losses.append(result.loss)
      seen.digests.append(parameterDigest(run.model.parameters))
      seen.steps.append(result)
    }
    return seen
  }
}

/// The largest relative difference.
func difference(_ a: [Double], _ b: [Double]) -> Double {
  zip(a, b).map { abs($0 - $1) / max(abs($1), 1e-9) }.max() ?? .infinity
}
