import ArgumentParser
import LockstepAnalysis
import LockstepClaims
import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
import Logging

/// `lockstep claims`.
struct ClaimsCommand: ParsableCommand, RankedCommand, LocalCommand {
  static let configuration = CommandConfiguration(
    commandName: "claims",
    abstract: "Test what is said about normalization: each claim is an experiment with a verdict.",
    discussion: """
      Without names, all claims are tested. A claim that chance leaves undecided is looked at again with \
      twice as many repeats, the quickest one first, until --minutes are over. The bound on wrong verdicts \
      allows for all looks. Runs that need no communication are shared out over the ranks: `mpirun -n 2` \
      uses two cores.
      """)

  @Argument(help: "The claims, by name; see --list.")
  var ids: [String] = []

  @Flag(help: "List the claims and stop.")
  var list = false

  @Option(help: "A factor on the length of every run and on the number of repeats.")
  var budget = 1.0

  @Option(help: "Minutes for looking at undecided claims again, for all of them together.")
  var minutes = 30.0

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard minutes >= 0, minutes.isFinite else {
      throw ValidationError("--minutes is \(minutes), expected 0 or more.")
    }
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
    try console.print(output.json ? try jsonDocument(claims) : Self.text(of: claims))
    return ExitStatus.done
  }

  func run(_ session: Session) throws -> Int32 {
    let claims = self.claims
    session.noteRanks()
    try session.lookAtMachines()
    let start = monotonicNanoseconds()
    var tests = claims.enumerated().map { index, claim in
      let place = "\(index + 1)/\(claims.count) \(claim.id)"
      return ClaimTest(claim, place) {
        Laboratory(context: session.context, budget: budget) {
          session.log.info("\(place): run \($0)")
        }
      }
    }
    func look(at index: Int) throws {
      let left = tests[index].estimate.map { "; about \(fixed($0 / 60, 1)) min" } ?? ""
      session.log.info("\(tests[index].place): look \(tests[index].looks + 1)\(left)")
      try tests[index].look()
      if !output.json, tests[index].isDecided, let finding = tests[index].finding {
        try session.print(Self.text(of: finding))
      }
    }
    for index in tests.indices { try look(at: index) }
    while let next = try nextLook(tests, since: start, session) { try look(at: next) }
    for finding in tests.filter({ !$0.isDecided }).compactMap(\.finding) where !output.json {
      try session.print(Self.text(of: finding))
    }
    let findings = tests.compactMap(\.finding)
    let all = Findings(ranks: session.context.size, budget: budget, claims: findings)
    try session.print(output.json ? try jsonDocument(all) : Self.summary(of: all))
    return ExitStatus.done
  }

  /// The undecided claim whose next look takes the least time; nil if there is no time for it.
  ///
  /// Collective. Rank 0 decides.
  private func nextLook(_ tests: [ClaimTest], since start: UInt64, _ session: Session) throws
    -> Int?
  {
    let left = minutes * 60 - Double(monotonicNanoseconds() - start) / 1e9
    let open = tests.indices.filter { !tests[$0].isDecided && tests[$0].canGoOn }
    let cheapest = open.min { tests[$0].estimate ?? 0 < tests[$1].estimate ?? 0 }
    let next = cheapest.flatMap { tests[$0].estimate ?? 0 <= left ? $0 : nil }
    var choice = [Int64(next ?? -1)]
    try session.context.control.broadcast(&choice, from: 0)
    return choice[0] < 0 ? nil : Int(choice[0])
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

      \(finding.verdict.rawValue.uppercased()): \(finding.because)\
      \(finding.smallestEffect.map { "\n\($0)" } ?? "")
      (\(fixed(finding.seconds, 1)) s, \(finding.looks) look(s))

      """
  }

  private static func summary(of all: Findings) -> String {
    var table = Table(["claim", "verdict", "looks", "seconds"])
    for finding in all.claims {
      table.append([
        finding.id, finding.verdict.rawValue, "\(finding.looks)", fixed(finding.seconds, 1),
      ])
    }
    return """
      \(table.text)

      \(all.ranks) rank(s), budget \(all.budget), \(fixed(all.seconds / 60, 1)) minutes.
      """
  }
}
