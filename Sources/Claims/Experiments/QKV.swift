import LockstepConfiguration
import LockstepDatasets
import LockstepModels
import LockstepRuns
import LockstepTraining

extension Claim {
  static let qkv = Claim(
    id: "qkv",
    statement: """
      QKV-norm, which has norms on queries, keys and values in place of the norm before them, matches \
      pre-norm in distribution and is worse out of distribution.
      """,
    source:
      "Menary, Kaski & Freitas, 2024, abstract and section 5, https://arxiv.org/abs/2406.17837",
    method: """
      A transformer of 4 blocks of width 32 with rotary positions learns sums and differences of up \
      to two digits, with its norms placed pre or qkv, each at its best rate of 0.0016, 0.004, 0.01 and \
      0.025. The test problems have up to two digits; those out of distribution have three.
      """,
    rule: """
      Over paired seeds, both parts have to hold. In distribution: holds if the median test losses \
      differ by at most a tenth, does not hold if they differ by more and a sign test says which is \
      higher. Out of distribution: a sign test of whether qkv's loss is higher.
      """, minutes: 1.3
  ) { lab in
    let steps = lab.scaled(600)
    let rates = [1.6e-3, 4e-3, 1e-2, 2.5e-2]
    let placements = [Placement.pre, .qkv]
    let runs = try placements.map {
      try lab.arithmeticRun(
        steps: steps,
        [
          "model.placement=\($0.rawValue)", "model.positions=rotary", "model.context=13",
          "data.digits=2", "data.samples=8192", "batch=64",
        ])
    }
    let seeds = 0..<UInt64(lab.repeats(7))
    let tunings = try lab.tune(runs, rates: rates, before: seeds)
    let results = try lab.map(
      zip(runs, tunings).map { $0.at(learningRate: $1.best) }, seeds: seeds
    ) { configuration in
      let longer = ArithmeticDataset(
        digits: 3, count: 1024, context: 13, seed: configuration.seed, part: 2, isLongest: true)
      return try train(configuration) { run, _ in
        guard run.stepsTaken == run.totalSteps else { return [] }
        let evaluation = try run.evaluate(on: longer)
        return [evaluation.loss, evaluation.accuracy, evaluation.exactMatch ?? 0]
      }
    }
    let inside = results.map { $0.map(\.loss) }
    let outside = results.map { $0.map { $0.notes.first ?? .infinity } }
    let (losses, beyond) = (inside.map(median), outside.map(median))
    let gap = differences(inside[1], inside[0])
    let isNear = abs(losses[1] - losses[0]) <= 0.1 * losses[0]
    let isOneSided = lab.signTest(parts: 2).verdict(gap) != .undecided
    let matches: Verdict = isNear ? .holds : isOneSided ? .fails : .undecided
    let isWorse = lab.signTest(parts: 2).verdict(differences(outside[1], outside[0]))
    var figures: [Figure] = []
    for (placement, runs) in zip(placements.map(\.rawValue), results) {
      figures += [
        Figure("\(placement): test loss", runs.map(\.loss)),
        Figure("\(placement): answers right", runs.map { 100 * ($0.exactMatch ?? 0) }, unit: "%"),
        Figure("\(placement): loss, longer operands", runs.map { $0.notes.first ?? .infinity }),
        Figure(
          "\(placement): characters right, longer operands",
          runs.map { 100 * ($0.notes.dropFirst().first ?? 0) }, unit: "%"),
        Figure(
          "\(placement): answers right, longer operands",
          runs.map { 100 * ($0.notes.last ?? 0) }, unit: "%"),
      ]
    }
    figures += zip(placements, tunings).flatMap { $1.figures($0.rawValue) }
    return Outcome(
      Verdict(all: [matches, isWorse]),
      because: """
        in distribution, \(matches.rawValue): test loss \(threeDigits(losses[0])) with pre, \
        \(threeDigits(losses[1])) with qkv; out of it, \(isWorse.rawValue): \
        \(threeDigits(beyond[0])) and \(threeDigits(beyond[1]))
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}
