public import ArgumentParser
import Foundation
import LockstepAnalysis
public import LockstepCollectives
import LockstepFiles
import LockstepMPIBackend
import LockstepMachine
import LockstepPrediction
import LockstepRuns

/// `lockstep predict`.
struct Predict: ParsableCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    abstract: "Predict step times on a cluster that you do not have, from recorded runs.",
    discussion: """
      RUN is a run directory with events. Give one for each norm, all of the same network; one recorded \
      rank is enough. Each predicted rank computes as many samples as a recorded one.
      """)

  @Argument(help: ArgumentHelp("Run directories, one for each norm.", valueName: "run"))
  var runs: [String]

  @Option(help: ArgumentHelp(FabricOption.help, valueName: "name|file"))
  var fabric: FabricOption

  @Option(
    help: ArgumentHelp(
      "Rank counts, separated by commas, up to \(Prediction.largest).", valueName: "a,b,…"),
    transform: { try CountList($0, in: 2...Prediction.largest) })
  package var ranks: CountList = CountList([2, 8, 64, 512, 4096])

  @Option(
    help: ArgumentHelp(
      "Statistics groups to predict beside all ranks, separated by commas, each for the rank counts that it "
        + "divides (default: 8).", valueName: "a,b,…"),
    transform: { try CountList($0, in: 2...Prediction.largest) })
  var groups: CountList?

  @Option(help: "Ranks on each node. If there are several, they first reduce to one of them.")
  var ranksPerNode = 1

  @Option(
    help: ArgumentHelp(
      "The fabric within a node, with --ranks-per-node.", valueName: "name|file"))
  var nodeFabric: FabricOption?

  @Option(help: "The MPI library whose choice of algorithms is assumed (default: the one in use).")
  var library: MPILibrary?

  @Option(
    help: ArgumentHelp(
      "The noise that takes processors away on the cluster: none, recorded (as on the machine of the runs), "
        + "or a file that `doctor --noise FILE` wrote.", valueName: "none|recorded|file"))
  var noise = "none"

  @Option(help: "The price of a rank for an hour; adds the cost of an epoch to the output.")
  var price: Double?

  @Option(help: "A training loss; adds the steps, time and, with --price, cost to reach it.")
  var targetLoss: Double?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    for (option, value) in [("--price", price), ("--target-loss", targetLoss)] {
      guard let value else { continue }
      guard value > 0, value.isFinite else {
        throw ValidationError("\(option) is \(value), expected a number above 0.")
      }
    }
    guard !runs.isEmpty else { throw ValidationError("name a run directory to predict from.") }
    try limit("--ranks-per-node", ranksPerNode)
    for group in groups?.counts ?? [] {
      guard ranks.counts.contains(where: { $0 % group == 0 }) else {
        throw ValidationError(
          "--groups has \(group), which none of --ranks is a multiple of; leave it out.")
      }
    }
    guard (ranksPerNode > 1) == (nodeFabric != nil) else {
      throw ValidationError(
        "--ranks-per-node above 1 and --node-fabric, the fabric within a node, go together.")
    }
  }

  func run(_ console: Console) throws -> Int32 {
    let network = NetworkModel(
      try fabric.read(), library: library ?? MPIRuntime.library,
      node: try nodeFabric.map { (ranksPerNode, try $0.read()) })
    let sources = try PredictionSources.read(
      runs, courses: price != nil, targetLoss: targetLoss)
    guard groups == nil || sources.contains(where: \.synchronizes) else {
      throw ConfigurationError(
        "--groups", "no run takes statistics over ranks; give one under sync-batch, or leave it out"
      )
    }
    let noise =
      switch self.noise {
      case "none": MachineNoise.none
      case "recorded": MachineNoise(recordedIn: sources.flatMap(\.wholeBatches))
      default: try MachineNoise.read(self.noise)
      }
    let prediction = try Prediction(
      sources, on: network, ranks: ranks.counts, groups: groups?.counts ?? [8], noise: noise,
      price: price)
    try console.print(output.json ? try jsonDocument(prediction) : Self.text(of: prediction))
    return ExitStatus.done
  }

  private static func text(of prediction: Prediction) -> String {
    var table = Table([
      "ranks", "norm", "statistics over", "step ms [95%]", "compute", "stat skew", "stat transfer",
      "gradients", "control", "to the fastest",
    ])
    for row in prediction.rows {
      let best =
        prediction.rows.filter { $0.ranks == row.ranks }.map(\.stepMilliseconds.median).min() ?? 0
      table.append([
        "\(row.ranks)" + (row.assumesTail ? "*" : ""), row.norm,
        row.statisticsGroup.map { $0 == row.ranks ? "all" : "groups of \($0)" } ?? "–",
        row.stepMilliseconds.text(2), fixed(row.computeMilliseconds, 2),
        fixed(row.statisticsSkewMilliseconds, 3),
        fixed(row.statisticsTransferMilliseconds, 3), fixed(row.gradientsMilliseconds, 3),
        fixed(row.controlMilliseconds, 3),
        "+" + fixed(100 * (row.stepMilliseconds.median / best - 1), 1) + "%",
      ])
    }
    var bases = Table(["norm", "recorded ranks", "steps", "tail µs"])
    for basis in prediction.bases {
      bases.append([
        basis.norm, "\(basis.ranks)", "\(basis.samples)", fixed(basis.tailMicroseconds, 1),
      ])
    }
    let choices = prediction.choices.map { choice in
      let group = choice.statisticsGroup.map { " over \($0 == choice.ranks ? "all" : "\($0)")" }
      return "\(choice.ranks) ranks: \(choice.norm)\(group ?? "")"
        + (choice.isSure ? "" : ", uncertain") + ": \(choice.reason)"
    }
    return """
      on \(prediction.fabric): \(prediction.fabricSource)
      \(prediction.library.algorithmsText); noise: \(noiseText(of: prediction))

      \(table.text)
      \(costs(of: prediction))
      \(choices.joined(separator: "\n"))

      \(bases.text)

      Each rank computes as many samples as a recorded one. * there are more ranks than recorded steps: \
      the last rank is assumed to arrive tail · ln(ranks / steps) after the latest recorded step.
      """
        + (prediction.disturbedShare > 0
          ? "\n\(fixed(100 * prediction.disturbedShare, 0))% of the recorded steps were disturbed. They are left out where a "
            + "run has undisturbed ones, and used where it has none."
          : "")
        + (prediction.normsWithoutNoise.isEmpty
          ? ""
          : "\nNo noise was added to \(prediction.normsWithoutNoise.joined(separator: ", ")): no undisturbed step was "
            + "recorded, so the steps hold the noise of their machine.")
  }

  private static func noiseText(of prediction: Prediction) -> String {
    let noise = prediction.noise
    guard noise.detoursPerSecond > 0 else { return noise.name }
    let median = MedianInterval(noise.detourMicroseconds).median
    return "\(noise.name), \(fixed(noise.detoursPerSecond, 1)) detours a second of "
      + "\(significant(median)) µs (median)"
  }

  /// The cost of an epoch and of the target loss; empty if nobody asked for it.
  private static func costs(of prediction: Prediction) -> String {
    guard prediction.rows.contains(where: { $0.cost != nil }) else { return "" }
    var table = Table([
      "ranks", "norm", "statistics over", "epoch: steps", "s", "price", "to the loss: steps", "s",
      "price",
    ])
    for row in prediction.rows {
      guard let cost = row.cost else { continue }
      table.append([
        "\(row.ranks)", row.norm,
        row.statisticsGroup.map { $0 == row.ranks ? "all" : "groups of \($0)" } ?? "–",
        counted((10 * cost.epochSteps).rounded() / 10), significant(cost.epochSeconds),
        cost.epochPrice.map(significant) ?? "–",
        cost.targetSteps.map { counted(Double($0)) } ?? "–",
        cost.targetSeconds.map(significant) ?? "–", cost.targetPrice.map(significant) ?? "–",
      ])
    }
    return """

      \(table.text)

      The steps to the loss are assumed to be as many as recorded, although more ranks mean larger batches.

      """
  }
}

/// A fabric by name or as a file.
struct FabricOption: ExpressibleByArgument {
  private let text: String

  init?(argument: String) { text = argument }

  var defaultValueDescription: String { text }

  static let help =
    "A fabric file that `bench collectives --fabric FILE` wrote, or one of \(names)."
  private static var names: String { Fabric.named.map(\.name).joined(separator: ", ") }

  /// The fabric.
  ///
  /// - Throws: ``InputFileError`` if there is no fabric of that name, and no such file.
  func read() throws(InputFileError) -> Fabric {
    if let named = Fabric.named.first(where: { $0.name == text }) { return named }
    guard FileManager.default.fileExists(atPath: text) else {
      throw InputFileError(
        file: text, problem: "is neither a fabric's name nor a file",
        remedy:
          "name \(Self.names), or a file that `lockstep bench collectives --fabric FILE` wrote")
    }
    return try Fabric.read(text)
  }
}

/// Positive numbers in a comma-separated list.
struct CountList {
  let counts: [Int]

  init(_ counts: [Int]) { self.counts = counts }

  /// Decodes the list; anything but a number in `range` is an error.
  init(_ text: String, in range: ClosedRange<Int>) throws {
    counts = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      guard let count = Int(part), range.contains(count) else {
        throw ValidationError(
          "\"\(part)\" is not a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return count
    }
    if let i = counts.indices.first(where: { counts[..<$0].contains(counts[$0]) }) {
      throw ValidationError("\(counts[i]) is given twice")
    }
  }
}

extension MPILibrary: ExpressibleByArgument {}
