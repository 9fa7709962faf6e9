public import Datasets
public import Measurement
public import Norms

/// The same run under several norms.
public struct Comparison: Codable, Sendable {
  /// One norm's figures.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// The duration of a step on rank 0, in milliseconds.
    public let step_ms: MedianInterval
    /// Collectives of statistics.
    public let statistics: TrafficPerStep
    /// Collectives of gradients.
    public let gradients: TrafficPerStep
    /// Where the run ended, the mean over repeats.
    public let final: FinalFigures
    /// Where each repeat ended.
    public let repeats: [FinalFigures]
  }

  /// The number of ranks.
  public let ranks: Int
  /// One result a norm, in the order asked for.
  public let results: [Result]
}

extension Comparison {
  /// How many steps one norm takes before the next one's turn: enough that its memory is in the
  /// caches, few enough that a slow minute of the machine meets all norms alike.
  private static let turn = 6

  /// Trains `configuration` under each of `norms`, interleaved, `repeats` times with seeds that
  /// count up.
  ///
  /// Collective.
  ///
  /// Where `directory` is given, every run writes a run directory below it: `NORM`, or `NORM-REPEAT`
  /// where there are several repeats.
  ///
  /// `onStep` is called after each step with the norm and the step, and how far the whole
  /// comparison is, from 0 to 1.
  public init(
    _ configuration: RunConfiguration, norms: [NormKind], repeats: Int,
    data: DataSplit, context: RankContext, directory: String? = nil,
    onStep: (NormKind, StepResult, Double) -> Void
  ) throws {
    var steps: [[[StepResult]]] = norms.map { _ in [] }
    var finals: [[FinalFigures]] = norms.map { _ in [] }
    for index in 0..<repeats {
      var settings = configuration
      settings.seed &+= UInt64(index)
      let runs = try norms.map {
        try TrainingRun(settings.with(norm: $0), data: data, context: context)
      }
      let files = try directory.map { directory in
        try zip(norms, runs).map { norm, run in
          let suffix = repeats > 1 ? "-\(index + 1)" : ""
          return try RunFiles(
            at: "\(directory)/\(norm.rawValue)\(suffix)", run.configuration,
            vocabulary: data.vocabulary, context: context)
        }
      }
      var taken: [[StepResult]] = norms.map { _ in [] }
      var done = 0
      let all = runs.reduce(0) { $0 + $1.totalSteps } * repeats
      while runs.contains(where: { $0.stepsTaken < $0.totalSteps }) {
        for (i, run) in runs.enumerated() {
          files?[i].resume()
          for _ in 0..<min(Self.turn, run.totalSteps - run.stepsTaken) {
            let result = try run.step()
            taken[i].append(result)
            try files?[i].append(result)
            done += 1
            let before = Double(index) / Double(repeats)
            onStep(norms[i], result, before + Double(done) / Double(all))
          }
          try files?[i].pause()
        }
      }
      for (i, run) in runs.enumerated() {
        try run.verifyReplicas()
        files?[i].resume()
        let evaluation = try run.evaluate()
        finals[i].append(FinalFigures(loss: RunTally(taken[i]).finalLoss, evaluation))
        steps[i].append(taken[i])
        guard let files else { continue }
        try files[i].append(evaluation, step: run.stepsTaken)
        let seconds = Double(taken[i].reduce(0) { $0 + $1.nanoseconds }) / 1e9
        try files[i].checkpoint(run)
        _ = try files[i].finish(
          RunSummary(
            run, ranks: context.size, RunTally(taken[i]), seconds: seconds, evaluation))
      }
    }
    ranks = context.size
    results = norms.indices.map { i in
      let times = StepTimes(steps[i])
      func mean(_ figure: (FinalFigures) -> Double) -> Double {
        finals[i].map(figure).reduce(0, +) / Double(repeats)
      }
      return Result(
        norm: norms[i].rawValue, step_ms: times.step_ms, statistics: times.statistics,
        gradients: times.gradients,
        final: FinalFigures(
          loss: mean(\.loss), accuracy: mean(\.accuracy), test_loss: mean(\.test_loss),
          exact_match: finals[i].allSatisfy { $0.exact_match != nil }
            ? mean { $0.exact_match ?? 0 } : nil),
        repeats: finals[i])
    }
  }
}
