import Collectives
import DataParallel
public import Datasets
import Foundation
import Measurement
import TensorBoard

/// What a run writes: rank 0 its directory, and every rank its events in it.
public final class RunFiles {
  private let context: RankContext
  /// The run directory.
  public let path: String
  /// Rank 0's.
  private let directory: RunDirectory?
  /// Rank 0's.
  private let writer: CheckpointWriter?
  /// Rank 0's.
  private let marker: InterruptionMarker?
  /// Rank 0's, where event files are asked for.
  private let scalars: ScalarWriter?
  private let clocks: ClockComparison?
  private let recorder: EventRecorder?
  private let settings: CheckpointSettings
  private let warn: (String) -> Void
  /// The steps of the best evaluations of which there is a checkpoint, with their losses, the best first;
  /// the same on all ranks.
  private var best: [(step: Int, loss: Double)] = []
  /// The steps that had been taken at this start; the same on all ranks.
  private let start: Int
  private var lastCheckpoint = monotonicNanoseconds()
  private var blocked: UInt64 = 0
  private var steps = 0

  /// Creates the run directory at `path`, or opens it where `resumption` says so, and begins to write the
  /// rank's events into it where the context records them.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - path: The run directory; rank 0's counts.
  ///   - mayCount: Whether the directory is to be `path-2`, `path-3` and so on where there is one.
  ///   - configuration: What is trained.
  ///   - resumption: What was found there.
  ///   - vocabulary: How tokens are written, where samples are text.
  ///   - context: The communicators.
  ///   - tensorBoard: Whether rank 0 writes event files for TensorBoard into `tensorboard/`.
  ///   - interruptions: Where signals come from, if the run may be interrupted.
  ///   - warn: Is told on rank 0 what went wrong without an end of the run.
  ///
  /// - Throws: the same `AgreedError` on all ranks if a file cannot be written.
  public init(
    at path: String, mayCount: Bool = false, _ configuration: RunConfiguration,
    resumption: Resumption = .none,
    vocabulary: Vocabulary?, context: RankContext, tensorBoard: Bool = false,
    interruptions: InterruptionSource? = nil, warn: @escaping (String) -> Void = { _ in }
  ) throws {
    self.context = context
    self.warn = warn
    settings = configuration.checkpoint
    if tensorBoard { try agreeing(over: context.control) { try Self.checkTensorBoard() } }
    var step: Int?
    if case .checkpoint(let checkpoint) = resumption.place { step = checkpoint?.step }
    directory = try context.agreeingAtLength {
      guard context.rank == 0 else { return nil }
      switch resumption.place {
      case .newDirectory:
        return try Self.create(
          path, mayCount: mayCount, configuration, ranks: context.size, vocabulary: vocabulary)
      case .firstStep, .checkpoint:
        guard let lock = resumption.lock else { preconditionFailure("rank 0 has found no run") }
        // The events of another start are on another clock, and perhaps of more ranks.
        if context.log != nil { try? FileManager.default.removeItem(atPath: "\(path)/events") }
        return try RunDirectory(
          resuming: path, configuration, ranks: context.size, after: step ?? 0,
          goesBack: resumption.goesBack, lock: lock)
      case .end: preconditionFailure("a run that has ended is not opened")
      }
    }
    let path = try context.control.broadcast(directory?.path ?? path, from: 0)
    self.path = path
    let keep = settings.keep
    writer = directory.map { [step] in CheckpointWriter($0.checkpoints, keep: keep, newest: step) }
    marker = writer.map { [step] in
      InterruptionMarker(run: path, writer: $0, step: step ?? 0, source: interruptions)
    }
    directory?.warnings.forEach(warn)
    scalars = try agreeing(over: context.control) { [directory] in
      guard tensorBoard, context.rank == 0 else { return nil }
      // What the run has written of this step's evaluation it writes again.
      let writer = try ScalarWriter(
        folder: "\(path)/tensorboard", host: ProcessInfo.processInfo.hostName, replacingFrom: step)
      if let row = directory?.earlier.last, row.step == step { try Self.append(row, to: writer) }
      return writer
    }
    let known = try context.control.allGather(
      [Double(step ?? 0)]
        + (directory?.best(settings.keepBest).flatMap { [Double($0.step), $0.loss] } ?? []))[0]
    start = Int(known[0])
    best = stride(from: 1, to: known.count, by: 2).map { (Int(known[$0]), known[$0 + 1]) }
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

  /// The steps that were taken before this start, on rank 0; none elsewhere.
  public var earlier: RunTally { directory?.earlier ?? RunTally() }

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
    marker?.stepTaken(result.step)
    steps += 1
    try scalars.map { try Self.append(StepMetrics(result), to: $0) }
    try recorder?.stepTaken(groups: context.recordedGroups)
  }

  private static func append(_ row: StepMetrics, to scalars: ScalarWriter) throws {
    try scalars.append(
      [
        ("train/loss", row.loss), ("train/accuracy", row.accuracy),
        ("train/learningRate", row.learningRate), ("time/step_ms", row.step_ms),
        ("time/statistics_blocked_ms", row.statistics.blocked_ms),
        ("time/gradients_blocked_ms", row.gradients.blocked_ms),
      ], step: row.step)
  }

  /// Writes all events so far, before another run records in the same log.
  public func pause() throws { try recorder?.write(groups: context.recordedGroups) }

  /// Writes an evaluation's row.
  public func append(_ evaluation: Evaluation, step: Int) throws {
    // The checkpoint that the run has gone on from.
    if step == start, step > 0 { note(evaluation, step: step) }
    try directory?.append(evaluation, step: step)
    let exact = evaluation.exactMatch.map { [("test/exactMatch", $0)] } ?? []
    try scalars?.append(
      [("test/loss", evaluation.loss), ("test/accuracy", evaluation.accuracy)] + exact, step: step)
  }

  /// Whether it is time for a checkpoint by rank 0's clock, which alone says so.
  public var isCheckpointDue: Bool {
    guard let writer, case .seconds(let seconds) = settings.cadence else { return false }
    let elapsed = Double(monotonicNanoseconds() - lastCheckpoint) / 1e9
    return elapsed >= seconds && !writer.isBusy()
  }

  /// How long rank 0 waits for a write before it meets the others again, in seconds: less than half of the
  /// shortest limit of the watchdog.
  private static let beat = 0.25

  /// Waits on all ranks until nothing is being written.
  ///
  /// They meet again and again, so that a long write is not taken for a rank that does not come.
  ///
  /// Collective.
  ///
  /// - Returns: on rank 0, why the last checkpoint could not be written, if so; nil elsewhere.
  private func awaitWriter() throws -> String? {
    var isBusy: [Int64]
    repeat {
      isBusy = [writer?.isBusy(after: Self.beat) == true ? 1 : 0]
      try context.control.broadcast(&isBusy, from: 0)
    } while isBusy[0] == 1
    return writer?.wait()
  }

  /// Waits for the checkpoint that is being written, where all ranks end with an error.
  ///
  /// Collective.
  public func abandon() throws {
    if let problem = try awaitWriter() { warn(problem) }
    marker?.finish(removing: false)
    directory?.release()
  }

  /// Takes an evaluation after `step` steps, of which there is a checkpoint, among the best if it is.
  ///
  /// - Returns: whether it is.
  @discardableResult
  private func note(_ evaluation: Evaluation, step: Int) -> Bool {
    let all = (best + [(step, evaluation.loss)]).sorted { ($0.loss, $0.step) < ($1.loss, $1.step) }
    best = Array(all.prefix(settings.keepBest))
    return best.contains { $0.step == step }
  }

  /// What may be done about a failure in a step, on rank 0, if there is an earlier checkpoint.
  ///
  /// Nothing is being written any more.
  public var wayBack: String? {
    guard let directory else { return nil }
    let steps = directory.checkpoints.steps
    guard let newest = steps.first else { return nil }
    let bestStep = best.first.flatMap { steps.contains($0.step) ? $0.step : nil }
    let list = steps.map { "\($0)\($0 == bestStep ? " (the best evaluation)" : "")" }
    return "go on with it from an earlier step with --run-dir \(path) --resume --from "
      + "\(bestStep ?? newest); there \(steps.count == 1 ? "is a checkpoint" : "are checkpoints") of "
      + "\(list.joined(separator: ", "))"
  }

  /// Begins to write a checkpoint of `run` as it is, after the one before has been written, if it `isDue` or the
  /// `evaluation` of this step is among the best that are kept.
  ///
  /// Where the one before could not be written, this is said and the run goes on: older ones are still there.
  ///
  /// Collective.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if the network has values that are not finite.
  public func checkpoint(_ run: TrainingRun, isDue: Bool = true, evaluation: Evaluation? = nil)
    throws
  {
    let isBest = evaluation.map { note($0, step: run.stepsTaken) } ?? false
    guard isDue || isBest else { return }
    let start = monotonicNanoseconds()
    if let problem = try awaitWriter() { warn("the run goes on without a checkpoint: \(problem)") }
    if let checkpoint = try run.checkpoint(), let directory {
      writer?.begin(
        checkpoint, best: Set(best.map(\.step)), metrics: directory.metricsDescriptor)
    }
    lastCheckpoint = monotonicNanoseconds()
    blocked += lastCheckpoint - start
  }

  /// Waits until the last checkpoint is written.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if it could not be.
  private func settle() throws {
    let start = monotonicNanoseconds()
    let problem = try context.control.broadcast(try awaitWriter() ?? "", from: 0)
    blocked += monotonicNanoseconds() - start
    guard problem.isEmpty else {
      throw TrainingFailure(
        description: "the last checkpoint: \(problem); make room there and go on with --resume")
    }
  }

  /// Ends the files of a run that was interrupted after `step` steps and of which a checkpoint was
  /// begun; `signal` is what this rank was sent.
  ///
  /// Collective; when it returns everything is written.
  public func interrupt(signal: CInt?) throws {
    try settle()
    let signals = try context.control.allGather([Int64(signal ?? 0)]).map { CInt($0[0]) }
    try recorder?.write(groups: context.recordedGroups)
    marker?.write(signals.first { $0 != 0 } ?? 0)
    marker?.finish(removing: false)
    try context.control.barrier()
    directory?.release()
  }

  /// Writes the summary, with the cost of checkpoints in it, when the last one is written.
  ///
  /// Collective.
  ///
  /// - Returns: the summary.
  /// - Throws: ``TrainingFailure`` on all ranks if the last checkpoint, the summary or the last events could
  ///   not be written.
  public func finish(_ summary: RunSummary) throws -> RunSummary {
    try settle()
    let reading = try clocks?.read()
    var summary = summary
    summary.checkpoints = writer.map {
      CheckpointCost(
        written: $0.written, blocked_ms_per_step: Double(blocked) / 1e6 / Double(max(steps, 1)))
    }
    do {
      try agreeing(over: context.control) {
        if let reading { try recorder?.finish(groups: context.recordedGroups, clock: reading) }
        try directory?.write(summary)
        marker?.finish(removing: true)
      }
    } catch let error as AgreedError {
      throw TrainingFailure(
        description: "the end of the run: \(error); make room there and go on with --resume")
    }
    directory?.release()
    return summary
  }
}

extension RunFiles {
  /// Creates the run directory, on rank 0.
  private static func create(
    _ path: String, mayCount: Bool, _ configuration: RunConfiguration, ranks: Int,
    vocabulary: Vocabulary?
  ) throws -> RunDirectory {
    var number = 1
    while true {
      let next = number == 1 ? path : "\(path)-\(number)"
      number += 1
      if mayCount, FileManager.default.fileExists(atPath: next) { continue }
      do {
        return try RunDirectory(
          creating: next, configuration, ranks: ranks, vocabulary: vocabulary)
      } catch {
        // Another process may have been first.
        guard mayCount, FileManager.default.fileExists(atPath: next) else { throw error }
      }
    }
  }
}
