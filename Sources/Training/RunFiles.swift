import Collectives
import DataParallel
public import Datasets
import Foundation
import Measurement
import TensorBoard

/// What a run writes: rank 0 its directory, and every rank its events in it.
public final class RunFiles {
  private let context: RankContext
  /// Rank 0's.
  private let directory: RunDirectory?
  /// Rank 0's, where event files are asked for.
  private let scalars: ScalarWriter?
  private let clocks: ClockComparison?
  private let recorder: EventRecorder?

  /// Creates the run directory at `path`, and begins to write the rank's events into it where the
  /// context records them.
  ///
  /// With `tensorBoard`, rank 0 writes event files for it into `tensorboard/`.
  ///
  /// Collective. All ranks throw, or none.
  public init(
    creating path: String, _ configuration: RunConfiguration, vocabulary: Vocabulary?,
    context: RankContext, tensorBoard: Bool = false
  ) throws {
    self.context = context
    if tensorBoard { try agreeing(over: context.control) { try Self.checkTensorBoard() } }
    directory = try agreeing(over: context.control) {
      context.rank == 0
        ? try RunDirectory(
          creating: path, configuration, ranks: context.size, vocabulary: vocabulary) : nil
    }
    scalars = try agreeing(over: context.control) {
      tensorBoard && context.rank == 0
        ? try ScalarWriter(
          folder: "\(path)/tensorboard", host: ProcessInfo.processInfo.hostName) : nil
    }
    guard let log = context.log else {
      (clocks, recorder) = (nil, nil)
      return
    }
    let clocks = try ClockComparison(over: context.control)
    let reading = try clocks.read()
    let identity = context.rank == 0 ? UUID().uuidString : ""
    let header = EventFileHeader(
      run: try context.control.broadcast(identity, from: 0), rank: context.rank,
      ranks: context.size, host: ProcessInfo.processInfo.hostName)
    self.clocks = clocks
    recorder = try agreeing(over: context.control) {
      do {
        return try EventRecorder(run: path, header, log: log, clock: reading)
      } catch {
        throw ConfigurationError(
          path, "rank \(context.rank) cannot write its events: \(reason(error))")
      }
    }
  }

  /// Throws unless this build can write TensorBoard's event files.
  public static func checkTensorBoard() throws(ConfigurationError) {
    guard ScalarWriter.isAvailable else {
      throw ConfigurationError(
        "--tensorboard",
        "this build has no check sums for event files; install libisal-dev and build again")
    }
  }

  /// Leaves out what was recorded since the last step, which belonged to another run.
  public func resume() { recorder?.resume() }

  /// Writes a step's row, and the events so far where it is time.
  public func append(_ result: StepResult) throws {
    try directory?.append(result)
    try scalars?.append(
      [
        ("train/loss", result.loss), ("train/accuracy", result.accuracy),
        ("train/learningRate", result.learningRate),
        ("time/step_ms", Double(result.nanoseconds) / 1e6),
        ("time/statistics_blocked_ms", Double(result.statistics.blockedNanoseconds) / 1e6),
        ("time/gradients_blocked_ms", Double(result.gradients.blockedNanoseconds) / 1e6),
      ], step: result.step)
    try recorder?.stepTaken(groups: context.recordedGroups)
  }

  /// Writes all events so far, before another run records in the same log.
  public func pause() throws { try recorder?.write(groups: context.recordedGroups) }

  /// Writes an evaluation's row.
  public func append(_ evaluation: Evaluation, step: Int) throws {
    try directory?.append(evaluation, step: step)
    let exact = evaluation.exactMatch.map { [("test/exactMatch", $0)] } ?? []
    try scalars?.append(
      [("test/loss", evaluation.loss), ("test/accuracy", evaluation.accuracy)] + exact, step: step)
  }

  /// Writes the final state and the summary.
  ///
  /// Collective.
  public func finish(_ run: TrainingRun, _ summary: RunSummary) throws {
    let state = try run.state()
    let reading = try clocks?.read()
    try agreeing(over: context.control) {
      if let reading { try recorder?.finish(groups: context.recordedGroups, clock: reading) }
      try directory?.write(state, step: run.stepsTaken)
      try directory?.write(summary)
    }
  }
}
