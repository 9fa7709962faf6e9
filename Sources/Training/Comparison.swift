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
    /// Where the run ended, the mean over the repeats that did not diverge; no numbers if all did.
    public let final: FinalFigures
    /// Where each repeat ended; no numbers where it diverged.
    public let repeats: [FinalFigures]
    /// The repeats that diverged; nil if none did.
    public let diverged: [Divergence]?
  }

  /// A repeat that came to no end.
  public struct Divergence: Codable, Sendable {
    /// Which one, from 1.
    public let repetition: Int
    /// The step whose loss was not finite, or after which the network had values or an evaluation that were not.
    public let step: Int

    private enum CodingKeys: String, CodingKey { case repetition = "repeat", step }
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
  /// A norm under which the network diverges goes no further; the others do. `warn` is told on rank 0 what
  /// went wrong without an end of the comparison.
  ///
  /// `onStep` is called after each step with the norm and the step, and how far the whole
  /// comparison is, from 0 to 1.
  public init(
    _ configuration: RunConfiguration, norms: [NormKind], repeats: Int,
    data: DataSplit, context: RankContext, directory: String? = nil,
    warn: @escaping (String) -> Void = { _ in }, onStep: (NormKind, StepResult, Double) -> Void
  ) throws {
    var steps: [[[StepResult]]] = norms.map { _ in [] }
    var finals: [[FinalFigures]] = norms.map { _ in [] }
    var diverged: [[Divergence]] = norms.map { _ in [] }
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
            vocabulary: data.vocabulary, context: context, warn: warn)
        }
      }
      for (run, files) in zip(runs, files ?? []) {
        run.requests = { StepRequests(stop: files.mustStop) }
      }
      var taken: [[StepResult]] = norms.map { _ in [] }
      var isOut = norms.map { _ in false }
      /// Runs `body` for a norm, and takes it out if the network diverges, on all ranks alike.
      func watching(_ i: Int, _ body: () throws -> Void) throws {
        do {
          try body()
        } catch let failure as TrainingFailure {
          guard let step = failure.step else { throw failure }
          diverged[i].append(Divergence(repetition: index + 1, step: step))
          isOut[i] = true
          try files?[i].abandon()
        }
      }
      func goesOn(_ i: Int) -> Bool { !isOut[i] && runs[i].stepsTaken < runs[i].totalSteps }
      let all = Double(runs.reduce(0) { $0 + $1.totalSteps })
      while runs.indices.contains(where: goesOn) {
        for (i, run) in runs.enumerated() where goesOn(i) {
          files?[i].resume()
          try watching(i) {
            for _ in 0..<min(Self.turn, run.totalSteps - run.stepsTaken) {
              let result = try run.step()
              // The metrics of one cannot be written any more.
              if result.requests.stop { try files?.forEach { try $0.settle() } }
              taken[i].append(result)
              try files?[i].append(result)
              let done = runs.indices.reduce(0) {
                $0 + (isOut[$1] ? runs[$1].totalSteps : runs[$1].stepsTaken)
              }
              onStep(norms[i], result, (Double(index) + Double(done) / all) / Double(repeats))
            }
            files?[i].pause()
          }
        }
      }
      for (i, run) in runs.enumerated() {
        if !isOut[i] {
          try watching(i) {
            finals[i].append(
              try Self.end(run, taken[i], files?[i], ranks: context.size))
          }
        }
        if isOut[i] { finals[i].append(.none) }
        steps[i].append(taken[i])
      }
    }
    ranks = context.size
    results = norms.indices.map { i in
      let times = StepTimes(steps[i])
      return Result(
        norm: norms[i].rawValue, step_ms: times.step_ms, statistics: times.statistics,
        gradients: times.gradients, final: .mean(of: finals[i].filter { $0.loss.isFinite }),
        repeats: finals[i], diverged: diverged[i].isEmpty ? nil : diverged[i])
    }
  }

  /// Evaluates a run after its last step, and ends its files.
  private static func end(
    _ run: TrainingRun, _ taken: [StepResult], _ files: RunFiles?, ranks: Int
  ) throws -> FinalFigures {
    try run.verifyReplicas()
    files?.resume()
    let evaluation = try run.evaluate()
    try evaluation.check(after: run.stepsTaken)
    let tally = RunTally(taken)
    if let files {
      try files.append(evaluation, step: run.stepsTaken)
      try files.checkpoint(run)
      let seconds = Double(taken.reduce(0) { $0 + $1.nanoseconds }) / 1e9
      _ = try files.finish(
        RunSummary(run, ranks: ranks, tally, seconds: seconds, evaluation))
    }
    return FinalFigures(loss: tally.finalLoss, evaluation)
  }
}
