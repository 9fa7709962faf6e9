import LockstepAnalysis
import LockstepConfiguration
import LockstepNorms

extension Claim {
  static let standardization = Claim(
    id: "standardization",
    statement: """
      Group norm with weight standardization, trained in batches of 2, reaches what batch norm reaches with large \
      batches.
      """,
    source:
      "Qiao, Wang, Liu, Shen & Yuille, 2019, abstract and table 2, https://arxiv.org/abs/1903.10520",
    method: """
      A small ResNet on the digits, 6 epochs, 7 seeds or more: batch norm in batches of 64; group norm, group norm \
      with weight standardization, and batch norm in batches of 2. The learning rate is in proportion to the batch \
      (0.1 for 64 images).
      """,
    rule: """
      The accuracy of group norm with weight standardization in batches of 2, less that of batch norm in batches of \
      64, paired by seed. Holds if the median is at least −1 point; does not hold if it is lower and the interval \
      excludes 0; else undecided. What standardization adds to group norm alone is measured, and does not decide.
      """, minutes: 1.3
  ) { lab in
    func run(_ kind: NormKind, batch: Int, standardized: Bool = false) throws -> RunConfiguration {
      let steps = lab.scaled(6 * 1438 / batch, least: 2)
      return try lab.configuration(
        """
        model:
          kind: resnet
          blocks: [1, 1]
          widths: [16, 32]
          weightStandardization: \(standardized)
          norm: {kind: \(kind.rawValue), groups: 4}
        data: {kind: digits, dropLast: true}
        batch: \(batch)
        steps: \(steps)
        optimizer: {kind: sgd, learningRate: \(0.1 * Double(batch) / 64), momentum: 0.9}
        schedule: {warmupSteps: \(steps / 10), decay: cosine}
        """)
    }
    let runs = [
      ("batch, 64 images", try run(.batch, batch: 64)),
      ("group, 2 images", try run(.group, batch: 2)),
      ("group and standardization, 2 images", try run(.group, batch: 2, standardized: true)),
      ("batch, 2 images", try run(.batch, batch: 2)),
    ]
    let seeds = 1..<UInt64(lab.repeats(7) + 1)
    let results = try lab.map(runs.map { $0.1 }, seeds: seeds) { run in
      var trained = try train(run)
      trained.losses = []
      return trained
    }
    var figures = zip(runs, results).flatMap { run, trained in
      [
        Figure("\(run.0): test accuracy", trained.map { 100 * $0.accuracy }, unit: "%"),
        Figure("\(run.0): test loss", trained.map(\.loss)),
      ]
    }
    func gain(_ a: Int, _ b: Int) -> [Double] {
      zip(results[a], results[b]).map { 100 * ($0.accuracy - $1.accuracy) }
    }
    let difference = MedianInterval(gain(2, 0), level: lab.level)
    figures += [
      Figure(
        "accuracy, group and standardization with 2 less batch with 64", difference,
        samples: seeds.count, unit: "points"),
      Figure("accuracy, what standardization adds to group norm", gain(2, 1), unit: "points"),
    ]
    return Outcome(
      difference.median >= -1
        ? .holds : difference.high < 0 && lab.decides(seeds.count) ? .fails : .undecided,
      because: """
        with batches of 2 the accuracy differs from batch norm's with 64 by \(threeDigits(difference.median)) points, of \
        which standardization adds \(threeDigits(median(gain(2, 1)))). The paper's networks are ResNet-50 and -101 \
        on ImageNet and COCO, with 32 groups
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}
