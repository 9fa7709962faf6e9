public import ArgumentParser
import Foundation
public import LockstepBenchmarks
import LockstepDataParallel
import LockstepFiles
import LockstepMPIBackend
import LockstepMachine
import LockstepPrediction
import Logging

/// `lockstep bench collectives`.
struct BenchCollectives: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "collectives",
    abstract: "Time collectives over sizes and rank counts, in a tight loop and between computing.",
    discussion: """
      In a tight loop, runs follow each other without a pause; a time is the slowest rank's time for a \
      batch of runs, divided by their number. Between computing, as in a training step, all ranks compute \
      on a few MiB until an agreed moment on their common clock; a time is from the last rank's arrival to \
      the last rank's end. Windows that a rank began late are left out. Every result is checked: the exit \
      status is 3 if an element is wrong.
      """)

  @Option(
    help: ArgumentHelp(
      "The operations, separated by commas: \(CollectiveOperation.names) (default: all).",
      valueName: "a,b,…"), transform: CollectiveOperation.list)
  var operations: [CollectiveOperation] = CollectiveOperation.allCases

  @Option(
    help: ArgumentHelp(
      "Sizes in bytes, separated by commas, such as 64,1k,1m (default: 8, and 16 to 4m in powers of "
        + "4). For an all-gather and a reduce-scatter, it is the size of all blocks together; a merge has "
        + "one channel for every 16 bytes.",
      valueName: "s,…"), transform: ByteSizes.init)
  var sizes: ByteSizes = ByteSizes([8] + (0..<10).map { 16 << (2 * $0) })

  @Option(
    help: ArgumentHelp(
      "Rank counts, separated by commas. For each, that many of the first ranks measure while the others "
        + "sleep (default: 2, 4, 8, … and all).",
      valueName: "p,…"), transform: RankCounts.init)
  package var ranks: RankCounts?

  @Option(help: "The type of the elements: float32 or float64. Merges always use their own types.")
  var type = CollectiveElement.float64

  @Option(help: "How often each operation and size is timed between computing.")
  var repetitions = 100

  @Option(help: "Runs to make before measuring.")
  var warmup = 10

  @Option(
    help: ArgumentHelp(
      "Write the latency and bandwidth found by the all-reduces to this file, which must not exist yet.",
      valueName: "file"))
  var fabric: String?

  @Flag(help: "Print comma-separated values: a header, then a row for each result.")
  var csv = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    try limit("--repetitions", repetitions, to: 100_000)
    try limit("--warmup", warmup)
    guard !(csv && output.json) else {
      throw ValidationError(
        "--csv and --json cannot be given together: standard output holds only one of them.")
    }
    if let odd = sizes.bytes.first(where: { $0 % type.bytes != 0 }) {
      throw ValidationError(
        "--sizes has \(odd) bytes, which is not a whole number of elements: a \(type.rawValue) has "
          + "\(type.bytes) bytes.")
    }
    guard fabric != nil else { return }
    let needed: [CollectiveOperation] = [.allReduce, .begunAllReduce]
    if let missing = needed.first(where: { !operations.contains($0) }) {
      throw ValidationError("--fabric needs \(missing.rawValue) among --operations.")
    }
    guard sizes.bytes.count > 1 else {
      throw ValidationError(
        "--fabric needs two sizes or more: one does not tell latency and bandwidth apart.")
    }
  }

  func run(_ session: Session) throws -> Int32 {
    let counts = try rankCounts(of: session.context.size)
    if let fabric {
      guard counts.contains(where: { $0 > 1 }) else {
        throw ConfigurationError(
          "--fabric", "one rank has no network; measure two or more: `mpirun -n 2 lockstep …`")
      }
      try session.agreeing { if session.isFirst { try Fabric.checkIsFree(fabric) } }
    }
    session.noteRanks()
    let places = try session.lookAtMachines()
    var settings = CollectivesBenchmark.Settings(
      operations: operations, sizes: sizes.bytes, ranks: counts)
    (settings.type, settings.repetitions, settings.warmup) = (type, repetitions, warmup)
    let begin = Date()
    let result = try CollectivesBenchmark(settings, over: session.context.control) { done in
      // Short runs need no progress messages.
      if Date().timeIntervalSince(begin) > 5 { session.log.info("measured \(done)") }
    }
    let report = CollectivesReport(result, library: MPIRuntime.version, places: places)
    try session.print(
      output.json ? try jsonDocument(report) : csv ? report.csv : report.text)
    if let fabric {
      let found = try result.fabric(
        name: URL(fileURLWithPath: fabric).deletingPathExtension().lastPathComponent,
        source: source(places), over: session.context.control)
      try session.agreeing { try found?.write(to: fabric) }
      session.log.info("wrote \(fabric)")
    }
    return ExitStatus.done
  }

  /// The rank counts to measure on a job of `size` ranks.
  private func rankCounts(of size: Int) throws(ConfigurationError) -> [Int] {
    guard let given = ranks?.counts else {
      let powers = sequence(first: 2) { $0 * 2 }.prefix { $0 < size }
      return powers + [size]
    }
    if let many = given.first(where: { $0 > size }) {
      throw ConfigurationError(
        "--ranks", "\(many) of only \(size) rank(s); start more: `mpirun -n \(many) lockstep …`")
    }
    return given
  }

  private func source(_ places: [RankPlace]) -> String {
    let arguments = CommandLine.arguments.dropFirst().joined(separator: " ")
    return "lockstep \(arguments); \(MPIRuntime.version); "
      + places.map(\.text).joined(separator: "; ")
  }
}

extension CollectiveOperation {
  /// All names, for help and messages.
  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }

  /// Decodes a comma-separated list; an unknown or repeated name is an error.
  static func list(_ text: String) throws -> [CollectiveOperation] {
    let operations = try parts(of: text).map { name in
      guard let operation = CollectiveOperation(rawValue: name) else {
        throw ValidationError(
          "unknown operation \"\(name)\"" + suggestion(name, allCases.map(\.rawValue)))
      }
      return operation
    }
    guard Set(operations).count == operations.count else {
      throw ValidationError("an operation is repeated in \"\(text)\"")
    }
    return operations
  }
}

extension CollectiveElement: ExpressibleByArgument {}

/// Sizes on the command line: "64,4k,1m", in powers of 1,024.
struct ByteSizes {
  let bytes: [Int]

  init(_ bytes: [Int]) { self.bytes = bytes }

  init(_ text: String) throws {
    bytes = try ascending(text, "a size") { part in
      let units: [Character: Int] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
      let unit = part.lowercased().last.flatMap { units[$0] }
      guard let number = Int(unit == nil ? part : String(part.dropLast())), number > 0,
        number <= (1 << 30) / (unit ?? 1)
      else {
        throw ValidationError(
          "the size \"\(part)\" is not a number of bytes from 1 to 1g, such as 64, 4k or 1m")
      }
      return number * (unit ?? 1)
    }
  }
}

/// Rank counts on the command line: "2,4".
struct RankCounts {
  let counts: [Int]

  init(_ text: String) throws {
    counts = try ascending(text, "a rank count") { part in
      guard let count = Int(part), count > 0 else {
        throw ValidationError("the rank count \"\(part)\" is not a whole number of 1 or more")
      }
      return count
    }
  }
}

private func parts(of text: String) -> [String] {
  text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
}

/// The numbers of a comma-separated list, in ascending order; a repeated number is an error.
private func ascending(_ text: String, _ what: String, _ number: (String) throws -> Int) throws
  -> [Int]
{
  let numbers = try parts(of: text).map(number)
  guard Set(numbers).count == numbers.count else {
    throw ValidationError("\(what) is repeated in \"\(text)\"")
  }
  return numbers.sorted()
}
