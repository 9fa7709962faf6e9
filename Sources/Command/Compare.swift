public import ArgumentParser
import LockstepAnalysis
import LockstepBenchmarks
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
public import LockstepNorms
import LockstepRuns
import LockstepTraining
import Logging

/// `lockstep compare`.
struct Compare: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train the same network under several norms, interleaved, and print what each costs.")

  @OptionGroup var options: ConfigurationOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var checks: CheckOptions

  @Option(
    help: ArgumentHelp(
      "The norms to compare, separated by commas: \(NormKind.names).", valueName: "a,b,…"),
    transform: NormList.init)
  var norms: NormList

  @Option(help: "How often to train under each norm; each repeat uses the next seed.")
  var repeats = 1

  @Option(
    help: ArgumentHelp(
      "Write a run directory with events for each norm into this directory, which must be new or empty.",
      valueName: "dir"))
  var runDir: String?

  func validate() throws {
    try limit("--repeats", repeats)
  }

  var checksCollectives: Bool { checks.checksCollectives }

  func run(_ session: Session) throws -> Int32 {
    let (settings, data) = try session.load(options.configuration, set: options.set)
    try session.agreeing {
      if let runDir, session.isFirst { try RunDirectory.check(runDir) }
    }
    session.noteRanks()
    try session.lookAtMachines()
    if runDir != nil { session.context.record(in: EventLog()) }
    let progress = ProgressLine(isOn: session.isFirst)
    defer { progress.finish() }
    let comparison = try Comparison(
      settings, norms: norms.kinds, repeats: repeats, data: data, context: session.context,
      directory: runDir, warn: { session.log.warning("\($0)") }
    ) { norm, result, done in
      progress.show(result, label: "\(norm.rawValue) step \(result.step)", progress: done)
    }
    progress.finish()
    try session.print(output.json ? try jsonDocument(comparison) : text(comparison, settings))
    // If every run diverged, nothing was compared.
    let cameToNothing = comparison.results.allSatisfy { $0.diverged?.count == repeats }
    return cameToNothing ? ExitStatus.failed : ExitStatus.done
  }

  private func text(_ comparison: Comparison, _ settings: RunConfiguration) -> String {
    let ended = comparison.results.filter { $0.diverged?.count != repeats }
    let hasAnswers = !ended.isEmpty && ended.allSatisfy { $0.final.exactMatch != nil }
    func final(_ result: Comparison.Result, _ text: (FinalFigures) -> String) -> String {
      result.diverged?.count == repeats ? "–" : text(result.final)
    }
    var table = Table(
      [
        "norm", "loss", "test acc", hasAnswers ? "exact" : nil, "step ms [95%]",
        "against \(comparison.results.first?.norm ?? "") [95%]", "stat coll/step", "stat B/step",
        "stat blocked ms", "grad coll/step", "grad B/step", "grad blocked ms",
      ].compactMap(\.self))
    for result in comparison.results {
      table.append(
        [
          result.norm, final(result) { fixed($0.loss, 4) },
          final(result) { fixed(100 * $0.accuracy, 2) + "%" },
          hasAnswers ? final(result) { fixed(100 * ($0.exactMatch ?? 0), 2) + "%" } : nil,
          result.stepMilliseconds.text(2), result.againstFirst?.text ?? "–",
          counted(result.statistics.collectivesPerStep),
          counted(result.statistics.bytesPerStep),
          fixed(result.statistics.blockedMilliseconds.median, 3),
          counted(result.gradients.collectivesPerStep), counted(result.gradients.bytesPerStep),
          fixed(result.gradients.blockedMilliseconds.median, 3),
        ].compactMap(\.self))
    }
    let ratios = comparison.results.compactMap(\.againstFirst)
    let doubt = PairedRatio.doubt(ratios, comparisons: comparison.results.count - 1)
    return """
      \(settings.name) on \(comparison.ranks) rank(s), \(repeats) run(s) a norm, in turn

      \(table.text)

      loss: mean training loss of the last epoch. step: rank 0's median over steps of a whole batch.
      against: \(doubt ?? text(of: ratios.map(\.rounds).max() ?? 0)).
      stat: collectives of norm statistics; grad: gradient buckets. blocked: inside MPI or \
      waiting for it.
      """ + comparison.unlikeStepsText + (comparison.disturbed.text.map { "\n\($0)" } ?? "")
        + overSeeds(comparison) + comparison.results.map(divergence).joined()
  }

  private func text(of rounds: Int) -> String {
    "the median ratio of up to \(rounds) rounds; in each round every norm took a turn. All its intervals hold at "
      + "once in 95% of cases; one that contains 1 leaves the order undecided"
  }

  /// A table of loss and accuracy over seeds; empty if there was only one repeat.
  private func overSeeds(_ comparison: Comparison) -> String {
    let first = comparison.results.first?.norm ?? ""
    var table = Table([
      "over \(repeats) seeds", "loss [95%]", "minus \(first)'s", "test acc % [95%]",
      "minus \(first)'s",
    ])
    let results = comparison.results.compactMap { result in
      result.seeds.map { (result.norm, $0) }
    }
    guard !results.isEmpty else { return "" }
    for (norm, seeds) in results {
      table.append([
        norm, seeds.loss.text(4), seeds.lossAgainstFirst?.text(4) ?? "–",
        seeds.accuracy.scaled(by: 100).text(2),
        seeds.accuracyAgainstFirst?.scaled(by: 100).text(2) ?? "–",
      ])
    }
    let note =
      comparison.fewestSeeds(of: repeats) < 6
      ? "\nfewer than 6 seeds give no 95% interval: the one shown spans them all"
      : ""
    return "\n\n\(table.text)\nminus: the median difference between runs with the same seed\(note)"
  }

  /// A line about the runs of a norm that diverged, if some did.
  private func divergence(_ result: Comparison.Result) -> String {
    guard let diverged = result.diverged else { return "" }
    let steps = diverged.map { "\($0.step)" }.joined(separator: ", ")
    let runs = repeats > 1 ? " in \(diverged.count) of \(repeats) runs" : ""
    return "\n\(result.norm): diverged\(runs) at step \(steps)"
      + "; a smaller learning rate, warm-up or clipNorm may help"
  }
}

/// Norm kinds in a comma-separated list.
struct NormList {
  let kinds: [NormKind]

  init(_ kinds: [NormKind]) { self.kinds = kinds }

  /// Decodes the list; an unknown or repeated name is an error.
  init(_ text: String) throws {
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    kinds = try names.map { name in
      guard let kind = NormKind(argument: name) else {
        throw ValidationError("unknown norm \"\(name)\"" + suggestion(name, NormRegistry.names))
      }
      return kind
    }
    guard Set(kinds).count == kinds.count else {
      throw ValidationError("a norm is repeated in \"\(text)\"")
    }
  }
}

extension NormKind: ExpressibleByArgument {
  /// The kind of a registered norm; nil if no norm has that name.
  public init?(argument name: String) {
    guard NormRegistry.names.contains(name) else { return nil }
    self.init(rawValue: name)
  }

  /// The names of all norms.
  public static var allValueStrings: [String] { NormRegistry.names }

  static var names: String { NormRegistry.names.joined(separator: ", ") }
}
