import Foundation
public import LockstepCollectives
public import LockstepDataParallel
import LockstepFiles
import LockstepMachine
import LockstepRecording
public import LockstepTraining

/// Records your own training loop into a run directory that `bench split --run`, `report`, `trace` and
/// `predict` read.
///
/// It records every collective, the computing between them, and the times of each step. All ranks create a
/// recorder, take the same steps with it, and finish it.
public final class Recorder {
  /// The run directory.
  public let path: String
  private let control: any Communicator
  private let log: EventLog
  private let clocks: ClockComparison
  private let events: EventRecorder
  private let groups: () -> [Int]
  /// The metrics, on rank 0 only.
  private let metrics: MetricsFile?
  private let watch: DisturbanceWatch
  private var isFinished = false

  private static let work = EventName("the step")

  /// Begins to record everything that goes through a program's communicators into a new run directory.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - ranks: The communicators of this rank.
  ///   - path: The run directory, which is created; rank 0's value counts.
  ///   - description: The run's name, its norm, and how many samples a rank computes in a step.
  /// - Throws: The same `AgreedError` on all ranks if the run directory exists, a file cannot be written, or
  ///   the ranks are recorded already.
  public convenience init(
    over ranks: RankContext, at path: String, _ description: RunDescription
  ) throws {
    try agreeing(over: ranks.control) {
      if ranks.log != nil {
        throw ConfigurationError(path, "these ranks are recorded already: one recorder is enough")
      }
    }
    try Self.check(path, ranks.control)
    try self.init(
      at: path, description, control: ranks.control, record: ranks.record(in:),
      groups: { ranks.recordedGroups },
      watch: DisturbanceWatch(countsSwitches: !ranks.sharesCores))
  }

  /// Begins to record everything that goes through one communicator.
  ///
  /// Collective.
  public convenience init(
    over world: any Communicator, at path: String, _ description: RunDescription
  ) throws {
    let control = try world.duplicate()
    try agreeing(over: control) {
      if world.meter.isRecorded {
        throw ConfigurationError(
          path, "this communicator is recorded already: one recorder is enough")
      }
    }
    try Self.check(path, control)
    try self.init(
      at: path, description, control: control, record: world.meter.record(in:), groups: { [0] },
      watch: DisturbanceWatch(countsSwitches: true))
  }

  private init(
    at path: String, _ description: RunDescription, control: any Communicator,
    record: (EventLog) -> Void, groups: @escaping () -> [Int], watch: DisturbanceWatch
  ) throws {
    let path = try control.broadcast(path, from: 0)
    let log = EventLog()
    (self.path, self.log, self.control) = (path, log, control)
    (self.groups, self.watch) = (groups, watch)
    metrics = try agreeing(over: control) {
      guard control.rank == 0 else { return nil }
      do {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try OutputFile.write(
          Data(
            (try jsonDocument(LaunchRecord(ranks: control.size, library: control.library)) + "\n")
              .utf8),
          path: "\(path)/launch.json")
        try Data().write(to: URL(fileURLWithPath: "\(path)/metrics.jsonl"))
        let metrics = try MetricsFile(path: "\(path)/metrics.jsonl")
        try OutputFile.write(
          Data((try jsonDocument(description) + "\n").utf8),
          path: "\(path)/\(RunDescription.file)")
        return metrics
      } catch {
        throw ConfigurationError(path, "the run directory cannot be created: \(reason(error))")
      }
    }
    // From here on, only writing events can fail on one rank alone.
    record(log)
    clocks = try ClockComparison(over: control)
    let reading = try clocks.read()
    let identity = control.rank == 0 ? UUID().uuidString : ""
    let header = EventFileHeader(
      run: try control.broadcast(identity, from: 0), rank: control.rank, ranks: control.size,
      host: ProcessInfo.processInfo.hostName)
    events = try agreeing(over: control) {
      do {
        return try EventRecorder(run: path, header, log: log, clock: reading)
      } catch {
        throw ConfigurationError(
          path, "rank \(control.rank) cannot write its events: \(reason(error))")
      }
    }
  }

  /// Throws on all ranks if there is a run at rank 0's `path`.
  private static func check(_ path: String, _ control: any Communicator) throws {
    try agreeing(over: control) {
      guard control.rank == 0 else { return }
      if FileManager.default.fileExists(atPath: "\(path)/\(RunDescription.file)") {
        throw ConfigurationError(path, "the run directory exists; name another, or remove it")
      }
      try RunDirectory.check(path, option: nil)
    }
  }

  /// Runs `body` as a step and records it.
  ///
  /// - Parameters:
  ///   - number: The step's number, from 1.
  ///   - samples: How many samples all ranks together compute in the step.
  ///   - loss: The step's loss, which `report` draws; NaN if there is none.
  ///   - body: The step.
  /// - Returns: What `body` returns.
  /// - Throws: What `body` throws; ``ConfigurationError`` if the recorder is finished; the file system's
  ///   error, on one rank alone, if a row or events cannot be written.
  public func step<Result>(
    _ number: Int, samples: Int = 1, loss: (Result) -> Double = { _ in .nan },
    _ body: () throws -> Result
  ) throws -> Result {
    try checkIsOpen()
    watch.begin()
    let (start, first) = (monotonicNanoseconds(), log.count)
    log.beginSegment()
    let result = try body()
    log.mark(Self.work, .forward)
    let end = monotonicNanoseconds()
    let own = watch.end(milliseconds: Double(end - start) / 1e6)
    log.step(number, from: start, to: end, marks: own.rawValue)
    let traffic = StepTraffic(log.events(from: first))
    try write(
      StepResult(
        step: number, epoch: 1, loss: loss(result), accuracy: .nan, learningRate: .nan,
        samples: samples, labels: samples, nanoseconds: Int(end - start),
        statistics: traffic.statistics, gradients: traffic.gradients, control: traffic.control,
        requests: StepRequests(), disturbance: StepDisturbance(own, rank: control.rank),
        isOverlapTrial: false))
    return result
  }

  /// Records a step of a ``Trainer``, which has recorded the step's events itself.
  ///
  /// - Throws: ``ConfigurationError`` if the recorder is finished.
  public func append(_ step: StepResult) throws {
    try checkIsOpen()
    try write(step)
  }

  private func write(_ step: StepResult) throws {
    try metrics?.append(step)
    try events.stepTaken(groups: groups())
  }

  private func checkIsOpen() throws {
    if isFinished { throw ConfigurationError(path, "the recording is finished: begin a new one") }
  }

  /// Ends the recording.
  ///
  /// Collective.
  ///
  /// - Throws: ``TrainingFailure`` on all ranks if a rank's last events cannot be written.
  public func finish() throws {
    try checkIsOpen()
    isFinished = true
    let reading = try clocks.read()
    do {
      try agreeing(over: control) { try events.finish(groups: groups(), clock: reading) }
    } catch let error as AgreedError {
      throw TrainingFailure(description: "\(path): events cannot be written: \(error)")
    }
  }
}

/// The traffic of one step by purpose, from its recorded events.
private struct StepTraffic {
  var statistics = Traffic()
  var gradients = Traffic()
  var control = Traffic()

  init(_ events: [Event]) {
    for event in events where event.kind == .collective {
      switch event.purpose {
      case .statistics: statistics.add(event)
      case .gradients: gradients.add(event)
      case .control, .computing: control.add(event)
      }
    }
  }
}

extension Traffic {
  fileprivate mutating func add(_ event: Event) {
    collectives += 1
    bytes += Int(event.bytes)
    let waited = event.end > event.waitBegin ? event.end - event.waitBegin : 0
    blockedNanoseconds += Int(event.returned - event.issue + waited) + Int(event.tested)
  }
}
