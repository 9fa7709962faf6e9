public import ArgumentParser
import LockstepAnalysis
import LockstepBenchmarks
import LockstepConfiguration
import LockstepFiles
import LockstepNorms
public import LockstepTensors

/// `lockstep bench`.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure, with medians and 95% intervals.",
    subcommands: [
      BenchStep.self, BenchNorms.self, BenchSplit.self, BenchCost.self, BenchCollectives.self,
      BenchPrediction.self,
    ])
}

/// `lockstep bench step`.
struct BenchStep: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "step", abstract: "Time whole training steps.")

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var checks: CheckOptions

  @Option(help: "The norm to use instead of the configuration's: \(NormKind.names).")
  var norm: NormKind?

  @Option(help: "Steps to measure.")
  var steps = 20

  @Option(help: "Steps to take before measuring.")
  var warmup = 3

  func validate() throws {
    try limit("--steps", steps)
    try limit("--warmup", warmup, from: 0)
  }

  var checksCollectives: Bool { checks.checksCollectives }

  func run(_ session: Session) throws -> Int32 {
    var (settings, data) = try session.load(options.configuration, set: options.set)
    if let norm { settings = settings.with(norm: norm, from: "--norm") }
    session.noteRanks()
    try session.lookAtMachines()
    let result = try StepBenchmark(
      settings, data: data, context: session.context, warmup: warmup, steps: steps)
    guard !output.json else {
      try session.print(try jsonDocument(result))
      return ExitStatus.done
    }
    try session.print(
      """
      \(result.work), \(result.norm) norm, \(result.ranks) rank(s)
      step         \(result.stepMilliseconds.text(2)) ms (median [95% interval] of \(steps))
      throughput   \(fixed(result.perSecond, 1)) images or tokens/s over all ranks
      statistics   \(counted(result.collectivesPerStep.statistics)) collectives, \
      \(counted(result.bytesPerStep.statistics)) bytes a step, blocked \
      \(fixed(result.blockedMsPerStep.statistics, 3)) ms
      gradients    \(counted(result.collectivesPerStep.gradients)) collectives, \
      \(counted(result.bytesPerStep.gradients)) bytes a step, blocked \
      \(fixed(result.blockedMsPerStep.gradients, 3)) ms
      memory       \(fixed(result.peakRssMebibytes, 0)) MiB at most on rank 0, \
      \(counted(result.pageFaultsPerStep)) page faults a step\
      \(result.disturbed.text.map { "\n\($0)" } ?? "")
      """)
    return ExitStatus.done
  }
}

/// `lockstep bench norms`.
struct BenchNorms: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "norms", abstract: "Time each norm's forward and backward pass by itself.")

  @Option(
    help: ArgumentHelp(
      "The norms, separated by commas: \(NormKind.names) (default: all but none).",
      valueName: "a,b,…"), transform: NormList.init)
  var norms: NormList = NormList(NormRegistry.kinds.filter { $0 != .none })

  @Option(
    parsing: .upToNextOption,
    help: "Shapes in PyTorch's order: rows×channels or N×C×H×W, such as 2048x1024.")
  var shapes: [BenchShape] = ["2048x1024", "16384x768", "32x64x32x32"].compactMap {
    BenchShape(argument: $0)
  }

  @Option(help: "How often each norm is timed.")
  var rounds = 30

  @Option(help: "In what numbers activations are stored.")
  var precision = Precision.float32

  @Flag(help: "Time each norm with a residual and a ReLU after it, in one pass where it can.")
  var fused = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    try limit("--rounds", rounds)
  }

  func run(_ session: Session) throws -> Int32 {
    for shape in shapes {
      for kind in norms.kinds {
        guard let problem = NormsBenchmark.problem(kind, shape: shape.axes) else { continue }
        throw ConfigurationError(
          "--shapes \(shape.text)",
          "\(kind.rawValue) norm: \(problem); leave it out of --norms, or give another shape")
      }
    }
    session.noteRanks()
    try session.lookAtMachines()
    let result = try NormsBenchmark(
      norms: norms.kinds, shapes: shapes.map(\.axes), rounds: rounds,
      precision: precision, fused: fused, context: session.context)
    guard !output.json else {
      try session.print(try jsonDocument(result))
      return ExitStatus.done
    }
    let first = result.results.first?.norm ?? ""
    var table = Table([
      "norm", "shape", "forward ms", "backward ms", "both ms [95%]", "against \(first) [95%]",
      "GB/s",
    ])
    for row in result.results {
      table.append([
        row.norm, row.shape.map(String.init).joined(separator: "×"),
        fixed(row.forwardMilliseconds.median, 3), fixed(row.backwardMilliseconds.median, 3),
        row.totalMilliseconds.text(3),
        row.againstFirst?.text ?? "–", fixed(row.gigabytesPerSecond, 1),
      ])
    }
    try session.print(
      """
      \(table.text)

      \(result.ranks) rank(s), \(precision.rawValue)\(fused ? ", with a residual and a ReLU" : ""); GB/s: \
      forward reads \(fused ? "x and the residual" : "x") and writes y, backward reads x and dy and writes \
      \(fused ? "dx and the residual's gradient" : "dx"). \
      A plain copy reaches \(fixed(result.copyGigabytesPerSecond, 1)) GB/s.\
      \(result.disturbed.text.map { "\n\($0)" } ?? "")
      """)
    return ExitStatus.done
  }
}

/// A shape on the command line.
struct BenchShape: ExpressibleByArgument {
  let axes: [Int]
  let text: String

  init?(argument: String) {
    let parts = argument.split(whereSeparator: { "x×".contains($0) })
    let axes = parts.compactMap { Int($0) }
    guard axes.count == parts.count, (2...5).contains(axes.count), axes.allSatisfy({ $0 > 0 }),
      axes.reduce(1, { $0 * Double($1) }) <= 0x1p31, axes.count != 4 || axes[2] * axes[3] > 1,
      axes.count != 3 || axes[2] > 1
    else { return nil }
    self.axes = axes
    text = argument
  }

  var defaultValueDescription: String { text }
}

/// On the command line, by name.
extension Precision: ExpressibleByArgument {}
