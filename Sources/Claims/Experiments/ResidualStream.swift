import LockstepAutograd
import LockstepConfiguration
import LockstepDatasets
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors

// Claims about what each block of a transformer adds to the residual stream, by where its norms stand.

extension Claim {
  static let peri = placement(
    "peri", .peri,
    statement: """
      Norms around each part (Peri-LN) keep the variance of the residual stream from growing over depth as it does \
      under pre-norm, where it grows without bound.
      """,
    source: "Kim et al., 2025, abstract and section 3, https://arxiv.org/abs/2502.02732",
    lacks: "The paper's models have 0.4 to 3 billion parameters")

  static let output = placement(
    "output", .output,
    statement: """
      A norm on the output of each part, instead of its input, keeps the residual stream's variance bounded over \
      depth, which makes training stable.
      """,
    source: "OLMo Team, 2024, OLMo 2, section 3.3.2, https://arxiv.org/abs/2501.00656",
    lacks:
      "The report's models have 7 and 13 billion parameters, with a norm on queries and keys besides"
  )

  /// A claim that the stream's variance grows less over depth than under pre-norm.
  private static func placement(
    _ id: String, _ placement: Placement, statement: String, source: String, lacks: String
  ) -> Claim {
    Claim(
      id: id, statement: statement, source: source,
      method: """
        A transformer of 8 blocks of width 32 learns sums and differences of digits under pre-norm and with its \
        norms placed \(id), 7 seeds or more, at learning rate 0.004. Measured on 64 test problems, at the start and \
        at the end, is the variance of the residual stream after the last block over that after the first.
        """,
      rule: """
        Sign tests over paired seeds: whether that ratio, at the start and at the end, is larger under pre-norm. \
        Both have to hold.
        """, minutes: 0.6
    ) { lab in
      let seeds = 0..<UInt64(lab.repeats(7))
      let placements = [Placement.pre, placement]
      let results = try lab.map(try streamRuns(lab, placements), seeds: seeds) { run in
        try trainedStreams(run)
      }
      var figures: [Figure] = []
      for (placement, runs) in zip(placements, results) {
        let name = placement.rawValue
        figures += [
          Figure(
            "\(name), start: variance, last block / first", runs.map { $0.growth(atEnd: false) }),
          Figure("\(name), end: variance, last block / first", runs.map { $0.growth(atEnd: true) }),
          Figure("\(name): test loss", runs.map(\.loss)),
        ]
      }
      let gains = [false, true].map { atEnd in
        differences(
          results[0].map { $0.growth(atEnd: atEnd) }, results[1].map { $0.growth(atEnd: atEnd) })
      }
      func growth(_ index: Int) -> String {
        threeDigits(median(results[index].map { $0.growth(atEnd: true) }))
      }
      return Outcome(
        Verdict(all: gains.map(lab.signTest(parts: 2).verdict)),
        because: """
          at the end the variance after the last block is \(growth(0)) times that after the first under \
          pre-norm, and \(growth(1)) times with norms placed \(id). \(lacks)
          """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
    }
  }

  static let depth = Claim(
    id: "depth",
    statement: """
      Under pre-norm the late blocks of a deep transformer do little; dividing the norms of the l-th block by √l \
      mends it.
      """,
    source: "Sun et al., 2025, abstract and sections 2 and 3, https://arxiv.org/abs/2502.05795",
    method: """
      A transformer of 8 blocks of width 32 learns sums and differences of digits under pre-norm and with scaled \
      norms, 7 seeds or more, at learning rate 0.004. On 64 test problems a block's share is the length of what it \
      adds to the residual stream over the length of the stream before it, averaged over the first and over the \
      last four blocks.
      """,
    rule: """
      Sign tests over paired seeds, at the end: (1) whether under pre-norm the first four blocks have a larger share \
      than the last four; (2) whether the last four's share over the first four's is larger with scaled norms than \
      under pre-norm. Both have to hold.
      """, minutes: 0.6
  ) { lab in
    let seeds = 0..<UInt64(lab.repeats(7))
    let placements = [Placement.pre, .scaled]
    let results = try lab.map(try streamRuns(lab, placements), seeds: seeds) {
      try trainedStreams($0)
    }
    var figures: [Figure] = []
    for (placement, runs) in zip(placements, results) {
      let name = placement.rawValue
      figures += [
        Figure(
          "\(name): share of the first four blocks", runs.map { 100 * $0.shares.first }, unit: "%"),
        Figure(
          "\(name): share of the last four blocks", runs.map { 100 * $0.shares.last }, unit: "%"),
        Figure("\(name): test loss", runs.map(\.loss)),
      ]
    }
    func ratios(_ runs: [Streams]) -> [Double] { runs.map { $0.shares.last / $0.shares.first } }
    let parts = [
      results[0].map { $0.shares.first - $0.shares.last },
      differences(ratios(results[1]), ratios(results[0])),
    ]
    return Outcome(
      Verdict(all: parts.map(lab.signTest(parts: 2).verdict)),
      because: """
        the last four blocks' share is \(threeDigits(median(ratios(results[0])))) times the first four's under \
        pre-norm, and \(threeDigits(median(ratios(results[1])))) times with scaled norms. The paper's models have \
        12 to 32 blocks and up to 7 billion parameters, and lose blocks to see what they do
        """, figures, smallestEffect: lab.signTest().smallestEffect(pairs: seeds.count))
  }
}

private func streamRuns(_ lab: Laboratory, _ placements: [Placement]) throws -> [RunConfiguration] {
  try placements.map {
    try lab.arithmeticRun(
      steps: lab.scaled(200, least: 4),
      ["model.layers=8", "model.placement=\($0.rawValue)", "optimizer.learningRate=0.004"])
  }
}

/// What blocks made of the residual stream.
private struct Streams: Codable, Sendable {
  /// The stream's variance before the first block and after each, at the start and at the end.
  let variances: [[Double]]
  /// ‖y − x‖ / ‖x‖ of each block at the end.
  let added: [Double]
  let loss: Double

  func growth(atEnd: Bool) -> Double {
    let variances = variances[atEnd ? 1 : 0]
    guard variances.allSatisfy(\.isFinite) else { return .infinity }
    return variances[variances.count - 1] / variances[1]
  }

  var shares: (first: Double, last: Double) {
    let half = added.count / 2
    func mean(_ values: ArraySlice<Double>) -> Double {
      values.reduce(0, +) / Double(values.count)
    }
    return (mean(added[..<half]), mean(added[half...]))
  }
}

/// Trains a run, and looks at its residual stream before the first step and after the last.
private func trainedStreams(_ configuration: RunConfiguration) throws -> Streams {
  var variances: [[Double]] = []
  var added: [Double] = []
  let trained = try train(configuration) { run, _ in
    guard run.stepsTaken == 0 || run.stepsTaken == run.totalSteps else { return [] }
    let batch = try configuration.loadData().test.batch(0..<64)
    let tape = Tape(.evaluation)
    let outputs = try run.model.outputsOfLayers(tape.input(batch.input), on: tape)
    // After the blocks come the last norm and the head.
    let stream = outputs.dropLast(2).suffix(9).map { $0.elements.map(Double.init) }
    variances.append(
      stream.map { values in
        let mean = values.reduce(0, +) / Double(values.count)
        return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      })
    added = zip(stream, stream.dropFirst()).map { before, after in
      let change = zip(before, after).reduce(0) { $0 + ($1.1 - $1.0) * ($1.1 - $1.0) }
      return (change / before.reduce(0) { $0 + $1 * $1 }).squareRoot()
    }
    return []
  }
  if variances.count < 2 { variances.append(variances[0].map { _ in .infinity }) }
  return Streams(variances: variances, added: added, loss: trained.loss)
}
