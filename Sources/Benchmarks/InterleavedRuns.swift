import LockstepAnalysis
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepRecording
import LockstepRuns
import LockstepTraining

/// Runs that take turns, with all ranks' records of the counted steps.
final class InterleavedRuns {
  /// The steps to compare.
  private(set) var paired: PairedSteps
  private let runs: [TrainingRun]
  private let context: RankContext
  private let interleaving: Interleaving
  private var counted: [[StepResult]]
  private var events: [[Event]]
  /// The numbers of the counted steps, by run and round.
  private var numbers: [[[Int]]]
  private var rounds = 0

  /// Starts a run of each of `configurations`, with whole batches and enough steps for `rounds` rounds.
  ///
  /// Collective. It also warms the runs up: their memory is allocated, and each has decided whether it
  /// overlaps.
  init(
    _ configurations: [RunConfiguration], rounds: Int, data: DataSplit, context: RankContext
  ) throws {
    self.context = context
    interleaving = Interleaving(
      variants: configurations.count, seed: configurations.first?.seed ?? 0)
    paired = PairedSteps(variants: configurations.count)
    runs = try configurations.map { configuration in
      var settings = configuration
      settings.length = .steps(
        Self.warmup + TrainingRun.stepsToOverlap + rounds * Interleaving.turn)
      settings.data.dropLast = true
      return try TrainingRun(settings, data: data, context: context)
    }
    counted = runs.map { _ in [] }
    events = runs.map { _ in [] }
    numbers = runs.map { _ in [] }
    for run in runs { try run.warmUp(Self.warmup) }
  }

  /// The steps that each run takes first, which allocate its memory.
  private static let warmup = 3

  /// Lets every run take a turn.
  func takeRound() throws {
    for i in interleaving.order(of: rounds) {
      let first = context.log?.count ?? 0
      let results = try (0..<Interleaving.turn).map { _ in try runs[i].step() }
      let counting = runs[i].counted(results)
      paired.append(counting, of: i)
      counted[i] += counting
      numbers[i].append(counting.map(\.step))
      events[i] += context.log?.events(from: first) ?? []
    }
    rounds += 1
  }

  /// The undisturbed ones among a run's counted steps, or all of them if every one was disturbed.
  func steps(of i: Int) -> [StepResult] {
    let clean = counted[i].filter(\.disturbance.isNone)
    return clean.isEmpty ? counted[i] : clean
  }

  /// What all ranks recorded of the counted steps of a run; disturbed steps are marked.
  ///
  /// Collective.
  func records(of i: Int, clock: ClockOffset) throws -> [RankRecord] {
    let all = try RankRecord.gather(
      events[i], clock: clock, groups: context.recordedGroups, over: context.control)
    return all.keeping(Set(numbers[i].joined()))
  }

  /// The numbers of the counted steps in each round of a run.
  func numbers(of i: Int) -> [[Int]] { numbers[i] }

  /// Whether a run computes weight gradients while statistics are in flight.
  func overlaps(_ i: Int) -> Bool { runs[i].overlaps ?? false }
}

extension TrainingRun {
  /// Takes `steps` steps, and as many more as the run needs to decide whether it overlaps.
  func warmUp(_ steps: Int) throws {
    for _ in 0..<steps { _ = try step() }
    for _ in 0..<Self.stepsToOverlap where overlaps == nil { _ = try step() }
  }
}
