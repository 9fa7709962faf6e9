import Foundation
import LockstepCheckpoints
import LockstepCollectives
public import LockstepConfiguration
public import LockstepDataParallel
public import LockstepDatasets
public import LockstepFiles
import LockstepRecording
import LockstepTensorBoard
public import LockstepTraining

/// The files that a run writes: rank 0 writes the run directory, and every rank its events in it.
public final class RunFiles {
  let context: RankContext
  /// The run directory.
  public let path: String
  /// The open run directory, on rank 0 only.
  let directory: RunDirectory?
  /// The writer of checkpoints, on rank 0 only.
  let writer: CheckpointWriter?
  /// The marker of an interruption, on rank 0 only.
  let marker: InterruptionMarker?
  /// The writer of TensorBoard's event files, on rank 0 only and if they are asked for.
  private var scalars: ScalarWriter?
  private let clocks: ClockComparison?
  private var recorder: EventRecorder?
  let settings: CheckpointSettings
  let warn: (String) -> Void
  /// What the user can do if the disk is full.
  let remedy: String
  /// The best evaluations whose checkpoint is written or being written, best first; the same on all ranks.
  var best: [(step: Int, loss: Double)] = []
  /// The best evaluations whose checkpoint is known to be written.
  var written: [(step: Int, loss: Double)] = []
  /// Why the metrics can no longer be written, on rank 0; nil if they can.
  var problem: String?
  /// Why this rank's events can no longer be written; nil if they can.
  private var eventsProblem: String?
  /// The steps that had been taken at this start; the same on all ranks.
  let start: Int
  var lastCheckpoint = monotonicNanoseconds()
  var blocked: UInt64 = 0
  var steps = 0

  /// Creates the run directory at `path`, or opens it if `resumption` says so.
  ///
  /// Collective. If the context records events, every rank begins to write its own into the directory.
  ///
  /// - Parameters:
  ///   - path: The run directory; rank 0's value counts.
  ///   - mayCount: Whether to take `path-2`, `path-3` and so on if the directory exists.
  ///   - configuration: What is trained.
  ///   - resumption: What was found at `path`.
  ///   - vocabulary: How tokens are written, if samples are text.
  ///   - context: The communicators.
  ///   - tensorBoard: Whether rank 0 writes event files for TensorBoard into `tensorboard/`.
  ///   - interruptions: Where signals come from, if the run may be interrupted.
  ///   - warn: Called on rank 0 with problems that do not end the run.
  ///
  /// - Throws: The same `AgreedError` on all ranks if a file cannot be written.
  public init(
    at path: String, mayCount: Bool = false, _ configuration: RunConfiguration,
    resumption: Resumption = .none,
    vocabulary: Vocabulary?, context: RankContext, tensorBoard: Bool = false,
    interruptions: InterruptionSource? = nil, warn: @escaping (String) -> Void = { _ in }
  ) throws {
    self.context = context
    self.warn = warn
    remedy = "make room there\(interruptions == nil ? "" : " and go on with --resume")"
    settings = configuration.checkpoint
    if tensorBoard { try agreeing(over: context.control) { try Self.checkTensorBoard() } }
    var step: Int?
    if case .checkpoint(let checkpoint) = resumption.place { step = checkpoint?.step }
    directory = try context.agreeingAtLength {
      guard context.rank == 0 else { return nil }
      switch resumption.place {
      case .newDirectory:
        return try Self.create(
          path, mayCount: mayCount, configuration, of: context.control, vocabulary: vocabulary)
      case .firstStep, .checkpoint:
        guard let lock = resumption.lock else { preconditionFailure("rank 0 has found no run") }
        let opened = try RunDirectory(
          resuming: path, configuration, ranks: context.size, library: context.control.library,
          vocabulary: vocabulary, after: step ?? 0, goesBack: resumption.goesBack, lock: lock)
        // The events of an earlier start have another clock, and maybe another number of ranks.
        let events = "\(path)/events"
        if FileManager.default.fileExists(atPath: events) {
          do { try FileManager.default.removeItem(atPath: events) } catch {
            throw ConfigurationError(
              events,
              "the events of the earlier start cannot be removed: \(error.localizedDescription)")
          }
        }
        return opened
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
    var isNew = false
    if case .newDirectory = resumption.place { isNew = true }
    scalars = try agreeing(over: context.control) { [directory] in
      guard tensorBoard, context.rank == 0 else { return nil }
      // What is known of this step is written again.
      let writer = try ScalarWriter(
        folder: "\(path)/tensorboard", host: ProcessInfo.processInfo.hostName,
        replacingFrom: isNew ? nil : step ?? 0)
      if let row = directory?.earlier.last, row.step == step { try Self.append(row, to: writer) }
      if let row = directory?.evaluations.last, row.step == step {
        try Self.append(row, to: writer)
      }
      return writer
    }
    let known = try context.control.allGather(
      [Double(step ?? 0)]
        + (directory?.best(settings.keepBest).flatMap { [Double($0.step), $0.loss] } ?? []))[0]
    start = Int(known[0])
    best = stride(from: 1, to: known.count, by: 2).map { (Int(known[$0]), known[$0 + 1]) }
    written = best
    guard let log = context.log else {
      (clocks, recorder) = (nil, nil)
      return
    }
    let clocks = try context.clocks()
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

  /// The steps that were taken before this start, on rank 0; empty on other ranks.
  public var earlier: RunTally { directory?.earlier ?? RunTally() }

  /// Throws unless this build can write TensorBoard's event files.
  public static func checkTensorBoard() throws(ConfigurationError) {
    guard ScalarWriter.isAvailable else {
      throw ConfigurationError(
        "--tensorboard",
        "this build cannot compute checksums of event files; install libisal-dev and build again")
    }
  }

  /// Skips events that were recorded since this run's last step: they belong to another run.
  public func resume() { recorder?.resume() }

  /// Whether the run has to stop because its metrics cannot be written; true on rank 0 only.
  public var mustStop: Bool { problem != nil }

  /// Writes a step's row, and from time to time the events so far.
  ///
  /// If the metrics cannot be written, ``mustStop`` is true from then on, and the end of the run throws. If
  /// events or TensorBoard's event files cannot be written, the run goes on without them and warns.
  public func append(_ result: StepResult) throws {
    try writeMetrics { try directory?.append(result) }
    marker?.stepTaken(result.step)
    steps += 1
    writeScalars { try Self.append(result, to: $0) }
    writeEvents { try $0.stepTaken(groups: context.recordedGroups) }
  }

  /// Writes a row of the metrics; after the first failure no more are written.
  private func writeMetrics(_ write: () throws -> Void) throws {
    guard problem == nil else { return }
    do { try write() } catch let error as OutputError { problem = "\(error)" }
  }

  /// Writes values for TensorBoard; after the first failure no more are written.
  private func writeScalars(_ write: (ScalarWriter) throws -> Void) {
    guard let scalars else { return }
    do { try write(scalars) } catch {
      self.scalars = nil
      warn("\(path)/tensorboard: cannot be written: \(reason(error)); the run goes on without it")
    }
  }

  /// Writes events; after the first failure no more are written.
  private func writeEvents(_ write: (EventRecorder) throws -> Void) {
    guard let recorder else { return }
    do { try write(recorder) } catch {
      self.recorder = nil
      eventsProblem = "rank \(context.rank)'s cannot be written: \(reason(error))"
    }
  }

  private static func append(_ row: StepResult, to scalars: ScalarWriter) throws {
    try scalars.append(
      [
        ("train/loss", row.loss), ("train/accuracy", row.accuracy),
        ("train/learningRate", row.learningRate), ("time/step_ms", row.milliseconds),
        ("time/statistics_blocked_ms", row.statistics.blockedMilliseconds),
        ("time/gradients_blocked_ms", row.gradients.blockedMilliseconds),
      ], step: row.step)
  }

  /// Writes all events so far, before another run records in the same log.
  public func pause() { writeEvents { try $0.write(groups: context.recordedGroups) } }

  /// Writes an evaluation's row.
  public func append(_ evaluation: Evaluation, step: Int) throws {
    // This evaluates the checkpoint that the run was resumed from, maybe again.
    if step == start, step > 0 {
      best = taking(evaluation, step: step)
      written = best
      if directory?.evaluations.last?.step == step { return }
    }
    try writeMetrics { try directory?.append(evaluation, step: step) }
    let row = EvaluationMetrics(evaluation, step: step)
    writeScalars { try Self.append(row, to: $0) }
  }

  private static func append(_ row: EvaluationMetrics, to scalars: ScalarWriter) throws {
    let exact = row.exactMatch.map { [("test/exactMatch", $0)] } ?? []
    try scalars.append(
      [("test/loss", row.loss), ("test/accuracy", row.accuracy)] + exact, step: row.step)
  }

  /// Whether it is time for a checkpoint by rank 0's clock; false on other ranks.
  public var isCheckpointDue: Bool {
    guard let writer, case .seconds(let seconds) = settings.cadence else { return false }
    let elapsed = Double(monotonicNanoseconds() - lastCheckpoint) / 1e9
    return elapsed >= seconds && !writer.isBusy()
  }

  /// Warns about ranks whose events are incomplete.
  ///
  /// Collective.
  private func warnOfEvents() throws {
    let problems = try context.control.allGather(eventsProblem ?? "").filter { !$0.isEmpty }
    if !problems.isEmpty { warn("\(path)/events: \(problems.joined(separator: "; "))") }
  }

  /// Ends the files of a run that was interrupted after a step and has begun to write a checkpoint.
  ///
  /// Collective. When it returns, everything is written. `signal` is the signal that this rank received.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if the metrics or the last checkpoint could not be written.
  public func interrupt(signal: CInt?) throws {
    try settle()
    let signals = try context.control.allGather([Int64(signal ?? 0)]).map { CInt($0[0]) }
    writeEvents { try $0.write(groups: context.recordedGroups) }
    try warnOfEvents()
    marker?.write(signals.first { $0 != 0 } ?? 0)
    marker?.finish(removing: false)
    try context.control.barrier()
    directory?.release()
  }

  /// Waits for the last checkpoint, and writes the summary with the cost of checkpoints.
  ///
  /// Collective.
  ///
  /// - Returns: The summary.
  /// - Throws: ``TrainingFailure`` on all ranks if the metrics, the last checkpoint or the summary could not
  ///   be written.
  public func finish(_ summary: RunSummary) throws -> RunSummary {
    try settle()
    let reading = try clocks?.read()
    var summary = summary
    summary.checkpoints = writer.map {
      CheckpointCost(
        written: $0.written, blockedMsPerStep: Double(blocked) / 1e6 / Double(max(steps, 1)))
    }
    do {
      try agreeing(over: context.control) {
        if let reading {
          writeEvents { try $0.finish(groups: context.recordedGroups, clock: reading) }
        }
        try directory?.write(summary)
        marker?.finish(removing: true)
      }
    } catch let error as AgreedError {
      throw TrainingFailure(
        description: "the end of the run: \(error); \(remedy)")
    }
    try warnOfEvents()
    directory?.release()
    return summary
  }
}

extension RunFiles {
  /// Creates the run directory, on rank 0.
  private static func create(
    _ path: String, mayCount: Bool, _ configuration: RunConfiguration,
    of communicator: any Communicator, vocabulary: Vocabulary?
  ) throws -> RunDirectory {
    var number = 1
    while true {
      let next = number == 1 ? path : "\(path)-\(number)"
      number += 1
      if mayCount, FileManager.default.fileExists(atPath: next) { continue }
      do {
        return try RunDirectory(
          creating: next, configuration, ranks: communicator.size, library: communicator.library,
          vocabulary: vocabulary)
      } catch {
        // Another process may have been first.
        guard mayCount, error as? ConfigurationError == RunDirectory.exists(next) else {
          throw error
        }
      }
    }
  }
}
