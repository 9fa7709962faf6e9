public import LockstepAnalysis
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles
public import LockstepNorms
public import LockstepRuns
public import LockstepTraining

/// A comparison of the same run under several norms.
public struct Comparison: Codable, Sendable {
  /// One norm's figures.
  public struct Result: Codable, Sendable {
    /// The kind of norm.
    public let norm: String
    /// The duration of a step on rank 0, in milliseconds.
    public let stepMilliseconds: MedianInterval
    /// The collectives of statistics.
    public let statistics: TrafficPerStep
    /// The collectives of gradients.
    public let gradients: TrafficPerStep
    /// The final figures, as the mean over the repeats that did not diverge; NaN if all did.
    public let final: FinalFigures
    /// The final figures of each repeat; NaN if it diverged.
    public let repeats: [FinalFigures]
    /// The repeats that diverged; nil if none did.
    public let diverged: [Divergence]?
    /// The ratio of the step's duration to that under the first norm, over rounds in which both took a turn.
    ///
    /// It is nil for the first norm, and ``PairedRatio/none`` if the two have no round in common.
    public let againstFirst: PairedRatio?
    /// Loss and accuracy over the repeats' seeds; nil if there was only one repeat, or all diverged.
    public let seeds: OverSeeds?

    private enum CodingKeys: String, CodingKey {
      case norm, statistics, gradients, final, repeats, diverged, seeds
      case stepMilliseconds = "step_ms"
      case againstFirst = "against_first"
    }
  }

  /// What several repeats reached.
  public struct OverSeeds: Codable, Sendable {
    /// The mean training loss of the last epoch.
    public let loss: MedianInterval
    /// The test set's accuracy.
    public let accuracy: MedianInterval
    /// The loss minus the loss under the first norm with the same seed; nil for the first norm.
    public let lossAgainstFirst: MedianInterval?
    /// The accuracy minus the accuracy under the first norm with the same seed; nil for the first norm.
    public let accuracyAgainstFirst: MedianInterval?

    private enum CodingKeys: String, CodingKey {
      case loss, accuracy
      case lossAgainstFirst = "loss_against_first"
      case accuracyAgainstFirst = "accuracy_against_first"
    }
  }

  /// A repeat that diverged.
  public struct Divergence: Codable, Sendable {
    /// The number of the repeat, from 1.
    public let repetition: Int
    /// The step whose loss was not finite, or after which values of the network or its evaluation were not.
    public let step: Int

    private enum CodingKeys: String, CodingKey { case repetition = "repeat", step }
  }

  /// The number of ranks.
  public let ranks: Int
  /// One result for each norm, in the order asked for.
  public let results: [Result]
  /// The share of the counted steps that were disturbed and left out, from 0 to 1.
  public let disturbedShare: Double
  /// How many steps were disturbed and left out, and why.
  public let disturbed: DisturbedSteps
  /// The norms of which only every k-th step synchronizes, and which are not compared by time; nil if there are
  /// none.
  public let unlikeSteps: [String]?

  private enum CodingKeys: String, CodingKey {
    case ranks, results, disturbed
    case disturbedShare = "disturbed_share"
    case unlikeSteps = "unlike_steps"
  }

  /// What to know of ``unlikeSteps``, on a line of its own; empty if there are none.
  public var unlikeStepsText: String {
    guard let unlikeSteps else { return "" }
    return
      "\n\(unlikeSteps.joined(separator: ", ")): only every k-th step synchronizes, and the first step of a "
      + "turn is not timed, so step and blocked may be those of steps without statistics, and no ratio to it or "
      + "from it is given. Collectives and bytes are means over all steps."
  }
}

extension Comparison {
  /// Trains `configuration` under each of `norms`, in rounds in which each takes a turn.
  ///
  /// Collective. It does this `repeats` times, each time with the next seed.
  ///
  /// If `directory` is given, every run writes a run directory into it: `NORM`, or `NORM-REPEAT` if there
  /// are several repeats.
  ///
  /// A norm under which the network diverges stops; the others go on. On rank 0, `warn` is called with
  /// problems that do not end the comparison.
  ///
  /// Intervals allow for `comparisons` made at once. The default is one less than the number of norms.
  ///
  /// `onStep` is called after each step with the norm, the step, and how far the whole comparison is, from 0
  /// to 1.
  public init(
    _ configuration: RunConfiguration, norms: [NormKind], repeats: Int,
    data: DataSplit, context: RankContext, directory: String? = nil,
    comparisons: Int? = nil, warn: @escaping (String) -> Void = { _ in },
    onStep: (NormKind, StepResult, Double) -> Void
  ) throws {
    var steps: [[StepResult]] = norms.map { _ in [] }
    var whole: [[StepResult]] = norms.map { _ in [] }
    var finals: [[FinalFigures]] = norms.map { _ in [] }
    var diverged: [[Divergence]] = norms.map { _ in [] }
    var paired = PairedSteps(variants: norms.count)
    // No median says what a step costs where only every k-th synchronizes.
    let isUnlike = norms.map {
      let norm = configuration.with(norm: $0).model.norm
      return context.size > 1 && norm.synchronizes && norm.every > 1
    }
    let interleaving = Interleaving(variants: norms.count, seed: configuration.seed)
    var round = 0
    for index in 0..<repeats {
      var settings = configuration
      settings.seed &+= UInt64(index)
      // Data that are drawn follow the seed, as the repeat's own configuration says.
      let data =
        index == 0 || !settings.data.followsSeed
        ? data : try context.agreeing { try settings.loadData() }
      let runs = try norms.map {
        try TrainingRun(settings.with(norm: $0), data: data, context: context)
      }
      // Of the second and the third step one at least has a whole batch.
      guard runs.allSatisfy({ $0.totalSteps > 2 }) else {
        throw ConfigurationError(
          "compare",
          "needs 3 steps or more: the first of a turn is not timed, nor one with less than a whole batch"
        )
      }
      let files = try directory.map { directory in
        try zip(norms, runs).map { norm, run in
          let suffix = repeats > 1 ? "-\(index + 1)" : ""
          return try RunFiles(
            at: "\(directory)/\(norm.rawValue)\(suffix)", run.configuration,
            vocabulary: data.vocabulary, context: context, warn: warn)
        }
      }
      var taken: [[StepResult]] = norms.map { _ in [] }
      var isOut = norms.map { _ in false }
      /// Runs `body` for a norm, and takes the norm out if the network diverges, on all ranks alike.
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
        for i in interleaving.order(of: round) {
          let run = runs[i]
          let first = taken[i].count
          defer { paired.append(run.counted(taken[i][first...]), of: i) }
          guard goesOn(i) else { continue }
          files?[i].resume()
          try watching(i) {
            for place in 0..<min(Interleaving.turn, run.totalSteps - run.stepsTaken) {
              var result = try run.step { StepRequests(stop: files?[i].mustStop ?? false) }
              if place > 0, run.counts(result), !isUnlike[i] { result.round = round }
              // The metrics of one run cannot be written any more.
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
        round += 1
      }
      for (i, run) in runs.enumerated() {
        if !isOut[i] {
          try watching(i) {
            finals[i].append(
              try Self.end(run, taken[i], files?[i], ranks: context.size))
          }
        }
        if isOut[i] { finals[i].append(.none) }
        let turns = stride(from: 0, to: taken[i].count, by: Interleaving.turn).map {
          run.counted(taken[i][$0..<min($0 + Interleaving.turn, taken[i].count)])
        }
        steps[i] += turns.flatMap(\.self)
        let largest = taken[i].map(\.samples).max()
        whole[i] += taken[i].filter { $0.samples == largest }
      }
    }
    ranks = context.size
    let unlikeNorms = norms.indices.filter { isUnlike[$0] }.map { norms[$0].rawValue }
    unlikeSteps = unlikeNorms.isEmpty ? nil : unlikeNorms
    // Rank 0 decides, since only it knows what disturbed it at the very end of a step.
    disturbed = paired.leftOut
    disturbedShare = paired.leftOut.share
    results = norms.indices.map { i in
      let times = StepTimes(steady: steps[i], of: whole[i])
      return Result(
        norm: norms[i].rawValue, stepMilliseconds: times.stepMilliseconds,
        statistics: times.statistics,
        gradients: times.gradients, final: .mean(of: finals[i].filter { $0.loss.isFinite }),
        repeats: finals[i], diverged: diverged[i].isEmpty ? nil : diverged[i],
        againstFirst: i == 0 || isUnlike[i] || isUnlike[0]
          ? nil
          : paired.ratio(of: i, to: 0, comparisons: comparisons ?? norms.count - 1)
            ?? PairedRatio.none,
        seeds: OverSeeds(finals[i], first: i == 0 ? nil : finals[0]))
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

extension Comparison.OverSeeds {
  /// The figures of the repeats that did not diverge; nil if there was only one repeat, or all diverged.
  fileprivate init?(_ own: [FinalFigures], first: [FinalFigures]?) {
    let ended = own.filter { $0.loss.isFinite }
    guard own.count > 1, !ended.isEmpty else { return nil }
    loss = MedianInterval(ended.map(\.loss))
    accuracy = MedianInterval(ended.map(\.accuracy))
    let pairs = zip(own, first ?? []).filter { $0.loss.isFinite && $1.loss.isFinite }
    func paired(_ figure: (FinalFigures) -> Double) -> MedianInterval? {
      pairs.isEmpty ? nil : MedianInterval(pairs.map { figure($0) - figure($1) })
    }
    lossAgainstFirst = paired(\.loss)
    accuracyAgainstFirst = paired(\.accuracy)
  }
}

extension Comparison {
  /// How many of `repeats` seeds are behind the interval with the fewest: a run that diverged gives no
  /// figure, and no difference to the other norm's run of its seed.
  public func fewestSeeds(of repeats: Int) -> Int {
    let diverged = results.map { Set(($0.diverged ?? []).map(\.repetition)) }
    let ended = diverged.flatMap {
      [repeats - $0.count, repeats - $0.union(diverged[0]).count]
    }
    return ended.filter { $0 > 0 }.min() ?? 0
  }
}
