import LockstepConfiguration
import LockstepNorms

extension Claim {
  static let ghost = Claim(
    id: "ghost",
    statement: """
      Batch norm over small ghost batches regularizes: a network trained with large batches generalizes \
      better, down to a size where the statistics become too unreliable.
      """,
    source:
      "Hoffer, Hubara & Soudry, 2017, section 4 and table 1, https://arxiv.org/abs/1705.08741",
    method: """
      A small ResNet on the digits in batches of 256 on one rank, 15 epochs, 7 seeds or more, with the \
      statistics of all 256 images and of ghost batches of 64, 16, 4 and 2. Measured are the test loss and \
      the test error, and what the test loss is above the training loss of the last steps.
      """,
    rule: """
      Two sign tests over paired seeds: whether the test loss with ghosts of 16 is lower than with the whole \
      batch, and whether that with ghosts of 2 is higher than with ghosts of 16. Both have to hold.
      """, minutes: 0.9
  ) { lab in
    let base = try lab.configuration(
      """
      model: {kind: resnet, blocks: [1, 1], widths: [16, 32], norm: {kind: batch}}
      data: {kind: digits, dropLast: true}
      batch: 256
      steps: \(lab.scaled(75, least: 2))
      optimizer: {kind: sgd, learningRate: 0.2, momentum: 0.9}
      schedule: {warmupSteps: \(lab.scaled(8)), decay: cosine}
      """)
    let sizes = [0, 64, 16, 4, 2]
    let seeds = 1..<UInt64(lab.repeats(7) + 1)
    let runs = sizes.map { size in
      var run = base
      run.model.norm.ghostBatch = size
      return run
    }
    let results = try lab.map(runs, seeds: seeds) { run in
      var trained = try train(run)
      trained.notes = [trained.loss - trained.lastLoss]
      trained.losses = []
      return trained
    }
    let losses = results.map { $0.map(\.loss) }
    var figures: [Figure] = []
    for (size, runs) in zip(sizes, results) {
      let name = size == 0 ? "all 256" : "ghosts of \(size)"
      figures += [
        Figure("\(name): test loss", runs.map(\.loss)),
        Figure("\(name): test error", runs.map { 100 * (1 - $0.accuracy) }, unit: "%"),
        Figure("\(name): test loss above training loss", runs.map { $0.notes[0] }),
      ]
    }
    let (gain, harm) = (differences(losses[0], losses[2]), differences(losses[4], losses[2]))
    figures += [
      Figure("test loss, all 256 less ghosts of 16", gain),
      Figure("test loss, ghosts of 2 less ghosts of 16", harm),
    ]
    return Outcome(
      Verdict(all: [gain, harm].map(lab.signTest(parts: 2).verdict)),
      because: """
        the test loss with all 256 is above that with ghosts of 16 by \(threeDigits(median(gain))), and that \
        with ghosts of 2 by \(threeDigits(median(harm))). The paper's batches are of 4,096 images of CIFAR-10, \
        CIFAR-100 and ImageNet, over hundreds of epochs
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}
