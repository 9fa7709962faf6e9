import ArgumentParser
import Claims
import Logging
import Measurement
import Training

/// `lockstep claims`.
struct ClaimsCommand: ParsableCommand, RankedCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    commandName: "claims",
    abstract: "Test what is said about normalization: each claim is an experiment with a verdict.",
    discussion: """
      Without names all claims are tested, which takes some twenty minutes on two cores. Runs that \
      need no communication are shared out over the ranks; `mpirun -n 2` uses two cores.
      """)

  @Argument(help: "The claims, by name; see --list.")
  var ids: [String] = []

  @Flag(help: "List the claims and stop.")
  var list = false

  @Option(help: "A factor on the length of every run and on the number of repeats.")
  var budget = 1.0

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard budget > 0, budget <= 1000 else {
      throw ValidationError("--budget is \(budget), expected more than 0 and at most 1000.")
    }
    for id in ids where Claim.named(id) == nil {
      throw ValidationError("unknown claim \"\(id)\"" + suggestion(id, Claim.all.map(\.id)))
    }
    guard Set(ids).count == ids.count else { throw ValidationError("a claim is named twice.") }
  }

  var needsNoRanks: Bool { list }

  private var claims: [Claim] { ids.isEmpty ? Claim.all : ids.compactMap(Claim.named) }

  /// Lists the claims.
  func run(_ console: Console) throws -> Int32 {
    try console.print(Self.text(of: claims))
    return ExitStatus.done
  }

  func run(_ session: Session) throws -> Int32 {
    let claims = self.claims
    session.noteRanks()
    try session.lookAtMachines()
    var findings: [Finding] = []
    for (index, claim) in claims.enumerated() {
      let place = "\(index + 1)/\(claims.count) \(claim.id)"
      session.log.info(
        "\(place): about \(fixed(claim.minutes * budget * budget, 1)) min on two cores")
      let finding = try claim.run(
        in: Laboratory(context: session.context, budget: budget) {
          session.log.info("\(place): run \($0)")
        })
      findings.append(finding)
      if !output.json { try session.print(Self.text(of: finding)) }
    }
    let all = Findings(ranks: session.context.size, budget: budget, claims: findings)
    try session.print(output.json ? try jsonDocument(all) : Self.summary(of: all))
    return ExitStatus.done
  }

  private static func text(of claims: [Claim]) -> String {
    var table = Table(["claim", "minutes"])
    for claim in claims { table.append([claim.id, fixed(claim.minutes, 1)]) }
    return claims.map { "\($0.id)\n    \($0.statement)\n    \($0.source)" }
      .joined(separator: "\n") + "\n\n" + table.text
  }

  private static func text(of finding: Finding) -> String {
    var table = Table(["figure", "median", "low", "high", "samples", "unit"])
    for figure in finding.figures {
      table.append([
        figure.name, significant(figure.value.median), significant(figure.value.low),
        significant(figure.value.high), figure.samples.map(String.init) ?? "–", figure.unit,
      ])
    }
    return """
      \(finding.id): \(finding.statement)
      source  \(finding.source)
      run     \(finding.method)
      rule    \(finding.rule)

      \(table.text)

      \(finding.verdict.rawValue.uppercased()): \(finding.because)
      (\(fixed(finding.seconds, 1)) s)

      """
  }

  private static func summary(of all: Findings) -> String {
    var table = Table(["claim", "verdict", "seconds"])
    for finding in all.claims {
      table.append([finding.id, finding.verdict.rawValue, fixed(finding.seconds, 1)])
    }
    return """
      \(table.text)

      \(all.ranks) rank(s), budget \(all.budget), \(fixed(all.seconds / 60, 1)) minutes.
      """
  }
}
