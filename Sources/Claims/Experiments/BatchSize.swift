import LockstepAnalysis
import LockstepAutograd
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepLayers
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTraining

extension Claim {
  static let batchSize = Claim(
    id: "batch-size",
    statement: """
      Batch norm's error grows as batches become small, since its statistics become unreliable; layer \
      and group norm do not depend on the batch size, and work with a batch of 1.
      """,
    source: """
      Wu & He, 2018, abstract and figure 1, https://arxiv.org/abs/1803.08494; sthasushant, A Note on Normalization, on \
      batch and layer normalization
      """,
    method: """
      A small ResNet on the digits with 1, 2, 4, 16 and 64 images a rank on all ranks (on two thread \
      ranks if there is only one), 3 seeds. A run takes 8 epochs at a learning rate in proportion to the \
      batch (0.1 for 128 images over all ranks). Large batches take fewer steps than small ones, too few \
      under any norm, so the growth of the error is compared between norms. Measured are the test \
      accuracy in evaluation mode, and the gap to the accuracy on the same test images in training mode, \
      in batches of that size.
      """,
    rule: """
      Holds if with every seed the test error of per-rank batch norm grows from 64 images a rank to 1 \
      by more than that of layer norm and by more than that of group norm, and neither of these two \
      grows by 2 points or more. Does not hold if the contrary of any of these four is true with every \
      seed; else undecided. Sync-batch, the sizes between and the gap do not decide.
      """, minutes: 2
  ) { lab in
    let base = try lab.configuration(
      """
      model: {kind: resnet, blocks: [1, 1], widths: [16, 32], norm: {kind: none}}
      data: {kind: digits}
      batchPerRank: 64
      steps: 1
      optimizer: {kind: sgd, learningRate: 0.1, momentum: 0.9}
      schedule: {decay: cosine}
      """)
    let norms: [NormKind] = [.batch, .syncBatch, .group, .layer]
    let sizes = [1, 2, 4, 16, 64]
    let (seeds, samples) = (lab.scaled(3), lab.scaled(8 * 1438))
    let results = try lab.together { context in
      let data = try base.loadData()
      return try norms.map { norm in
        try sizes.map { size in
          try (1...seeds).map { seed in
            let batch = size * context.size
            var run = base.with(norm: norm)
            (run.seed, run.batch) = (UInt64(seed), .perRank(size))
            run.learningRate *= Double(batch) / 128
            let steps = max(1, samples / batch)
            (run.length, run.warmupSteps) = (.steps(steps), steps / 10)
            let trained = try train(run, data: data, context: context) { run, _ in
              guard run.stepsTaken == run.totalSteps else { return [] }
              return try accuracies(of: run, data.test, size: size, context)
            }
            return Accuracies(trained)
          }
        }
      }
    }
    var figures: [Figure] = []
    for (norm, sizesOfNorm) in zip(norms, results) {
      for (size, runs) in zip(sizes, sizesOfNorm) {
        figures += [
          Figure(
            "\(norm.rawValue), \(size) a rank: test error", runs.map { 100 * $0.error }, unit: "%"),
          Figure(
            "\(norm.rawValue), \(size) a rank: lost in training mode", runs.map { 100 * $0.gap },
            unit: "points"),
        ]
      }
    }
    let growth = results.map { sizesOfNorm in
      zip(sizesOfNorm[0], sizesOfNorm[sizes.count - 1]).map { 100 * ($0.error - $1.error) }
    }
    let (batch, group, layer) = (growth[0], growth[2], growth[3])
    figures += zip(norms, growth).map {
      Figure("\($0.rawValue): error at 1 a rank less that at 64", $1, unit: "points")
    }
    func grown(_ values: [Double]) -> String {
      "\((10 * MedianInterval(values).median).rounded() / 10)"
    }
    return Outcome(
      Verdict(
        all: [group, layer].flatMap { other in
          [
            Verdict(allPositive: zip(batch, other).map { $0 - $1 }),
            Verdict(allPositive: other.map { 2 - $0 }),
          ]
        }),
      because: """
        from 64 images a rank to 1 the test error changes by \(grown(batch)) points under batch norm, \
        \(grown(growth[1])) under sync-batch, \(grown(group)) under group and \(grown(layer)) under \
        layer norm
        """, figures)
  }
}

/// How well a run's network classifies the test images.
private struct Accuracies: Sendable {
  /// The share of all test images that is classified wrongly in evaluation mode; 1 if the run diverged.
  let error: Double
  /// The accuracy in evaluation mode minus that in training mode, on the same images.
  let gap: Double

  init(_ trained: Trained) {
    let whole = trained.divergedAt == nil
    error = whole ? 1 - trained.accuracy : 1
    gap = whole ? trained.notes[0] - trained.notes[1] : 0
  }
}

/// The accuracy in evaluation and in training mode on the test images, in batches of `size` on each rank.
///
/// Collective. Every rank takes equally many batches; images that do not fill one are left out.
private func accuracies(
  of run: TrainingRun, _ test: any Dataset, size: Int, _ context: RankContext
) throws -> [Double] {
  _ = try run.state()
  let batches = test.count / (size * context.size)
  return try [Mode.evaluation, .training].map { mode in
    try keepingState(of: run.model) {
      var correct = [0.0]
      for batch in 0..<batches {
        let first = (batch * context.size + context.rank) * size
        let images = test.batch(first..<first + size)
        let tape = Tape(mode)
        correct[0] +=
          CrossEntropyLoss(
            try run.model(tape.input(images.input), on: tape), labels: images.labels
          ).correct
      }
      try context.control.sum(&correct)
      return correct[0] / Double(max(1, batches * context.size * size))
    }
  }
}
