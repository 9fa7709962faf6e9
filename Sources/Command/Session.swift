import Foundation
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepKernels
import LockstepMPIBackend
import LockstepRuns
import LockstepTensors
import Logging

/// A command that runs on every rank.
protocol RankedCommand {
  /// Runs on this rank and returns the exit status, the same on all ranks.
  func run(_ session: Session) throws -> Int32
  /// Whether ranks agree on every collective before it starts.
  var checksCollectives: Bool { get }
}

extension RankedCommand {
  /// False unless a command has the option.
  var checksCollectives: Bool { false }
}

/// A command that reads and writes files and needs no ranks: rank 0 runs it, and MPI is not started.
protocol LocalCommand {
  /// Runs on rank 0 and returns the exit status.
  func run(_ console: Console) throws -> Int32
  /// Whether the command needs no ranks with the options given.
  var needsNoRanks: Bool { get }
}

extension LocalCommand {
  /// True with any options.
  var needsNoRanks: Bool { true }
}

/// Where a command prints: results on standard output, messages on standard error, both on rank 0 alone.
struct Console {
  /// Whether this is rank 0.
  let isFirst: Bool
  /// Messages to people.
  let log: Logger

  init(isFirst: Bool) {
    self.isFirst = isFirst
    var log = Logger(label: "lockstep") { _ in MessageHandler() }
    log.logLevel = isFirst ? .info : .critical
    self.log = log
  }

  /// Writes a result to standard output, on rank 0.
  func print(_ text: String) throws(ResultError) {
    if isFirst { try StandardStreams.write(text + "\n") }
  }

  /// Prints what was written to the file `path`; as a message if that file is standard output itself.
  func print(_ text: String, about path: String) throws(ResultError) {
    if OutputFile.isStandardOutput(path) { log.info("\(text)") } else { try print(text) }
  }
}

/// One rank's view of a command in progress: its communicators, and what it may print.
final class Session {
  let context: RankContext
  private let console: Console
  /// Messages to people, on standard error and from rank 0 alone.
  var log: Logger { console.log }

  init(_ world: MPICommunicator, checksCollectives: Bool) throws {
    context = try RankContext(world, checks: checksCollectives && world.size > 1)
    console = Console(isFirst: context.rank == 0)
  }

  /// Whether this is rank 0.
  var isFirst: Bool { console.isFirst }

  /// Writes a result to standard output, on rank 0; as a message if the file `path`, which the result is about, is
  /// standard output itself.
  ///
  /// Collective. All ranks throw the same ``ResultError``, or none does.
  func print(_ text: String, about path: String = "") throws {
    if OutputFile.isStandardOutput(path) { log.info("\(text)") } else { try context.print(text) }
  }

  /// Says how to start more ranks if there is only one.
  func noteRanks() {
    if context.size == 1 {
      log.info("one rank (P = 1): start more with `Launch/run -n P -- lockstep …`")
    }
  }

  /// Runs `body`, which may fail on some ranks only, so that all ranks agree on the outcome.
  func agreeing<Result>(_ body: () throws -> Result) throws -> Result {
    try context.agreeingAtLength(body)
  }

  /// Reads a configuration and its data on every rank, and checks that all ranks read the same.
  func load(_ path: String, set assignments: [String]) throws -> (
    configuration: RunConfiguration, data: DataSplit
  ) {
    let (configuration, data) = try agreeing {
      let configuration = try RunConfiguration(path: path, set: assignments)
      context.activity?.limitSeconds = Double(configuration.watchdogSeconds)
      return (configuration, try configuration.loadData())
    }
    try context.waitingForOthers {
      try configuration.agreeOnStart(data: data, over: context.control)
    }
    if configuration.precision == .bfloat16, !OneDNN.bfloat16.isFast {
      log.info("precision bfloat16 \(OneDNN.bfloat16.text)")
    }
    return (configuration, data)
  }
}

/// Prints log messages plainly: they are part of the product, not of a log file.
struct MessageHandler: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    printError(event.level >= .warning ? "\(event.level): \(event.message)" : "\(event.message)")
  }
}
