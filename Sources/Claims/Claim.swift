public import LockstepAnalysis
import LockstepCollectives

/// A sentence about normalization, with the experiment that decides it on this machine.
public struct Claim: Encodable, Sendable {
  private enum CodingKeys: String, CodingKey { case id, statement, source, method, rule, minutes }

  /// The claim's name on the command line.
  public let id: String
  /// What is claimed.
  public let statement: String
  /// Who claims it, and where.
  public let source: String
  /// What the experiment runs and measures.
  public let method: String
  /// When the claim holds, when it does not, and when it is undecided; fixed before the run.
  public let rule: String
  /// Roughly how many minutes the experiment takes on two cores at a budget of 1.
  public let minutes: Double
  /// The experiment; every rank runs it.
  let experiment: @Sendable (Laboratory) throws -> Outcome

  /// Runs the experiment.
  ///
  /// Collective.
  public func run(in laboratory: Laboratory) throws -> Finding {
    let start = monotonicNanoseconds()
    laboratory.begin()
    let outcome = try experiment(laboratory)
    return Finding(
      claim: self, outcome, looks: laboratory.look,
      seconds: Double(monotonicNanoseconds() - start) / 1e9)
  }
}

/// What an experiment decides.
public enum Verdict: String, Codable, Sendable {
  /// The rule's condition was met.
  case holds = "holds here"
  /// The contrary of the claim was seen.
  case fails = "does not hold here"
  /// Neither the claim nor its contrary was seen clearly enough.
  case undecided = "not decided at this budget"

  /// A sign test over repeats: holds if every difference is above 0, fails if none is and not all are 0, else
  /// undecided.
  public init(allPositive differences: [Double]) {
    let positive = differences.count { $0 > 0 }
    if positive == differences.count, positive > 0 {
      self = .holds
    } else {
      self = positive == 0 && differences.contains { $0 < 0 } ? .fails : .undecided
    }
  }

  /// Fails if any part fails, else undecided if any is, else holds.
  public init(all parts: [Verdict]) {
    self = parts.contains(.fails) ? .fails : parts.contains(.undecided) ? .undecided : .holds
  }

  /// Holds if `condition` is true, else fails.
  public init(_ condition: Bool) { self = condition ? .holds : .fails }
}

/// One measured figure with its interval.
public struct Figure: Codable, Sendable {
  /// What was measured.
  public let name: String
  /// The unit; empty for a plain number.
  public let unit: String
  /// The median over the samples with its interval; infinite if runs diverged.
  public let value: MedianInterval
  /// The number of samples; nil if the figure was computed from other figures.
  public let samples: Int?

  /// The figure of some samples, at least one.
  init(_ name: String, _ samples: [Double], unit: String = "") {
    self.name = name
    self.unit = unit
    value = MedianInterval(samples)
    self.samples = samples.count
  }

  /// The figure of one sample.
  init(_ name: String, _ value: Double, unit: String = "") { self.init(name, [value], unit: unit) }

  /// The figure of samples that have been summarized already.
  init(_ name: String, _ value: MedianInterval, samples: Int?, unit: String = "") {
    self.name = name
    self.unit = unit
    self.value = value
    self.samples = samples
  }
}

/// A percentage as text, with one decimal.
func percent(_ value: Double) -> String { "\((10 * value).rounded() / 10)%" }

/// What an experiment found.
struct Outcome: Sendable {
  let figures: [Figure]
  let verdict: Verdict
  /// What the verdict rests on, and what was not run.
  let because: String
  /// The smallest effect that could have been seen, in words; nil if chance plays no part in the verdict.
  let smallestEffect: String?

  init(
    _ verdict: Verdict, because: String, _ figures: [Figure], smallestEffect: String? = nil
  ) {
    self.smallestEffect = smallestEffect
    self.figures = figures
    self.verdict = verdict
    self.because = because
  }
}

/// What is printed about a claim.
public struct Finding: Codable, Sendable {
  /// The claim's name.
  public let id: String
  /// What is claimed.
  public let statement: String
  /// Who claims it, and where.
  public let source: String
  /// What was run and measured.
  public let method: String
  /// The rule of the verdict.
  public let rule: String
  /// What was measured.
  public let figures: [Figure]
  /// The verdict.
  public let verdict: Verdict
  /// What the verdict rests on, and what was not run.
  public let because: String
  /// The smallest effect that could have been seen; nil if the claim was decided, or if chance plays no part.
  public let smallestEffect: String?
  /// How often the claim was looked at, with twice as many repeats each time.
  public let looks: Int
  /// How long all looks together took, in seconds.
  public var seconds: Double

  private enum CodingKeys: String, CodingKey {
    case id, statement, source, method, rule, figures, verdict, because, looks, seconds
    case smallestEffect = "smallest_effect"
  }

  init(claim: Claim, _ outcome: Outcome, looks: Int, seconds: Double) {
    self.looks = looks
    smallestEffect = outcome.verdict == .undecided ? outcome.smallestEffect : nil
    id = claim.id
    statement = claim.statement
    source = claim.source
    method = claim.method
    rule = claim.rule
    figures = outcome.figures
    verdict = outcome.verdict
    because = outcome.because
    self.seconds = seconds
  }
}

/// What `lockstep claims --json` prints.
public struct Findings: Codable, Sendable {
  /// The number of ranks.
  public let ranks: Int
  /// The factor on the length of every run and on the number of repeats.
  public let budget: Double
  /// How long all claims took, in seconds.
  public let seconds: Double
  /// One finding for each claim, in the order asked for.
  public let claims: [Finding]

  /// Puts the document together.
  public init(ranks: Int, budget: Double, claims: [Finding]) {
    self.ranks = ranks
    self.budget = budget
    self.claims = claims
    seconds = claims.reduce(0) { $0 + $1.seconds }
  }
}
