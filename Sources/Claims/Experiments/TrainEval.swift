import LockstepAutograd
import LockstepConfiguration
import LockstepDatasets
import LockstepModels
import LockstepNorms
import LockstepRuns

extension Claim {
  static let trainEval = Claim(
    id: "train-eval",
    statement: """
      Batch norm computes something else in training than in inference; layer norm, and every norm \
      without batch statistics, computes the same in both.
      """,
    source: """
      "Layer Normalization", TheQuery glossary, and its comparison of batch and layer norm ("no need for \
      running mean/variance"); Ba, Kiros & Hinton, 2016, section 3, https://arxiv.org/abs/1607.06450
      """,
    method: """
      A small ResNet is trained on the digits, 32 images a rank, on all ranks. Then every rank passes \
      the same 64 test images through it in training and in evaluation mode. Measured is the largest \
      difference of the logits over the largest logit.
      """,
    rule: """
      Holds if with every seed the difference is exactly 0 under layer, RMS, group and instance norm \
      and above 0.1% under batch and sync-batch; otherwise does not hold. batch-renorm does not decide: \
      it is designed to compute the same in both modes as long as its corrections are not clipped \
      (Ioffe, 2017, https://arxiv.org/abs/1702.03275).
      """, minutes: 0.2
  ) { lab in
    let base = try lab.configuration(
      """
      model: {kind: resnet, blocks: [1, 1, 1], widths: [16, 32, 64], norm: {kind: none}}
      data: {kind: digits}
      batchPerRank: 32
      steps: \(lab.scaled(60, least: 2))
      optimizer: {kind: sgd, learningRate: 0.05, momentum: 0.9}
      """)
    let norms: [NormKind] = [.batch, .syncBatch, .batchRenorm, .layer, .rms, .group, .instance]
    let seeds = lab.scaled(5)
    let differences = try lab.together { context in
      let data = try base.loadData()
      let input = data.test.batch(0..<64).input
      return try norms.map { norm in
        try (1...seeds).map { seed in
          var configuration = base.with(norm: norm)
          configuration.seed = UInt64(seed)
          return try train(configuration, data: data, context: context) { run, _ in
            guard run.stepsTaken == run.totalSteps else { return [] }
            _ = try run.state()
            let outputs = try [Mode.evaluation, .training].map { mode in
              try keepingState(of: run.model) {
                let tape = Tape(mode)
                return try run.model(tape.input(input), on: tape).value
              }
            }
            return [relativeChange(of: outputs[0], to: outputs[1])]
          }.notes.first ?? .infinity
        }
      }
    }
    let wrong = zip(norms, differences).filter { norm, differences in
      switch norm {
      case .batch, .syncBatch: !differences.allSatisfy { $0 > 1e-3 }
      case .batchRenorm: false
      default: !differences.allSatisfy { $0 == 0 }
      }
    }.map(\.0.rawValue)
    return Outcome(
      Verdict(wrong.isEmpty),
      because: wrong.isEmpty
        ? """
        the outputs of batch and sync-batch change between the modes; those of norms without batch \
        statistics do not change by a single bit
        """ : "\(wrong.joined(separator: ", ")) did not do what is claimed",
      zip(norms, differences).map { norm, differences in
        Figure("\(norm.rawValue): outputs differ by", differences.map { 100 * $0 }, unit: "%")
      })
  }
}
