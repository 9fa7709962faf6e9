import Foundation
import LockstepAnalysis
import LockstepCollectives
import LockstepConfiguration
public import LockstepDataParallel
import LockstepDatasets
import LockstepRuns
import LockstepTraining

/// Where experiments run: the ranks, the budget, and a callback that reports progress.
public struct Laboratory {
  /// This rank's communicators.
  let context: RankContext
  /// The factor on the length of every run and on the number of repeats.
  public let budget: Double
  /// The number of the current look at the claim, from 1; each takes twice as many repeats as the one before.
  public var look = 1
  private let note: (String) -> Void
  private let memory = Memory()

  /// The results of single runs, so that a look does not repeat runs of earlier looks.
  private final class Memory {
    var results: [String: String] = [:]
    /// How many times ``map(_:_:)`` was called in this look.
    var calls = 0
  }

  /// Creates a laboratory of all ranks of `context`; `note` is called with how far an experiment is.
  public init(
    context: RankContext, budget: Double = 1, note: @escaping (String) -> Void = { _ in }
  ) {
    precondition(budget > 0)
    self.context = context
    self.budget = budget
    self.note = note
  }

  /// The number of ranks.
  public var ranks: Int { context.size }

  /// Scales `count` steps or repeats from a budget of 1 to this budget; the result is at least `least`.
  func scaled(_ count: Int, least: Int = 1) -> Int {
    max(least, Int((Double(count) * budget).rounded()))
  }

  /// Scales `count` repeats from a budget of 1 and the first look to this budget and look.
  func repeats(_ count: Int) -> Int { scaled(count) << (look - 1) }

  /// The sign test of this look, for one of `parts` parts of a claim.
  func signTest(parts: Int = 1) -> SequentialSignTest {
    SequentialSignTest(look: look, parts: parts)
  }

  /// The number of comparisons at once for which an interval has ``level``.
  var comparisons: Int { look * (look + 1) }

  /// The level of an interval that decides in this look.
  var level: Double { 1 - SequentialSignTest.error / Double(look * (look + 1)) }

  /// Whether `samples` numbers are enough for an interval that decides: a smaller number spans all of them, and may
  /// lie on one side of 0 by chance.
  func decides(_ samples: Int) -> Bool { MedianInterval.exists(samples: samples, level: level) }

  /// Rank 0's `finding`, on all ranks.
  ///
  /// Collective.
  func sharing(_ finding: Finding) throws -> Finding {
    let text = try context.control.broadcast(try Self.encode([finding]), from: 0)
    let findings: [Finding] = try Self.decode(text)
    return findings[0]
  }

  /// Begins a look.
  package func begin() { memory.calls = 0 }

  /// Decodes the configuration of an experiment's run.
  func configuration(_ yaml: String, _ assignments: [String] = []) throws -> RunConfiguration {
    try RunConfiguration(yaml: yaml, name: "an experiment's configuration", set: assignments)
  }

  /// Applies `body` to every item; items are shared out over the ranks, or over this machine's cores if there
  /// is only one rank.
  ///
  /// Collective. `body` runs without communication, so its result does not depend on the number of ranks.
  /// Every rank gets all results, in the items' order. Results of an earlier look are reused.
  public func map<Item: Sendable, Result: Codable & Sendable>(
    _ items: [Item], _ body: @escaping @Sendable (Item) throws -> Result
  ) throws -> [Result] {
    memory.calls += 1
    let keys = items.map { "\(memory.calls) \(Self.text(of: $0))" }
    let new = items.indices.filter { memory.results[keys[$0]] == nil }
    let found = try share(out: new.map { items[$0] }, body)
    for (index, result) in zip(new, found) {
      memory.results[keys[index]] = try Self.encode([result])
    }
    return try keys.map { key in
      guard let text = memory.results[key] else { preconditionFailure("a result is gone") }
      let results: [Result] = try Self.decode(text)
      return results[0]
    }
  }

  /// An item as text that is the same in every look and on every rank, which a dictionary's order is not.
  private static func text(of item: Any) -> String {
    if let configuration = item as? RunConfiguration, let yaml = try? configuration.resolvedYAML {
      return yaml
    }
    let mirror = Mirror(reflecting: item)
    guard mirror.displayStyle == .tuple else { return "\(item)" }
    return mirror.children.map { text(of: $0.value) }.joined(separator: "\n")
  }

  private func share<Item: Sendable, Result: Codable & Sendable>(
    out items: [Item], _ body: @escaping @Sendable (Item) throws -> Result
  ) throws -> [Result] {
    guard !items.isEmpty else { return [] }
    let workers = min(ranks > 1 ? ranks : ProcessInfo.processInfo.activeProcessorCount, items.count)
    guard ranks == 1 else {
      // A rank that fails alone must not leave the others waiting for its results.
      func share() throws -> [Result] {
        try agreeing(over: context.control) {
          try stride(from: context.rank, to: items.count, by: ranks).map { index in
            note("\(index + 1)/\(items.count)")
            return try body(items[index])
          }
        }
      }
      // Ranks may be minutes apart here, and that is no sign of a failure.
      let mine = try context.activity?.exempting(share) ?? share()
      let texts = try context.control.allGather(try Self.encode(mine))
      return Self.interleaved(try texts.map(Self.decode), count: items.count)
    }
    guard workers > 1 else { return try items.map(body) }
    return Self.interleaved(
      try withThreadRanks(workers) { worker in
        try stride(from: worker.rank, to: items.count, by: workers).map { try body(items[$0]) }
      }, count: items.count)
  }

  private static func interleaved<Result>(_ parts: [[Result]], count: Int) -> [Result] {
    (0..<count).map { parts[$0 % parts.count][$0 / parts.count] }
  }

  private static func encode(_ results: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return String(decoding: try encoder.encode(results), as: UTF8.self)
  }

  private static func decode<Result: Decodable>(_ text: String) throws -> [Result] {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return try decoder.decode([Result].self, from: Data(text.utf8))
  }

  /// Runs `body` on all ranks together, or on two thread ranks if there is only one rank, and returns this
  /// rank's result.
  ///
  /// Collective.
  func together<Result: Sendable>(
    _ body: @escaping @Sendable (RankContext) throws -> Result
  ) throws -> Result {
    guard ranks == 1 else { return try body(context) }
    return try withThreadRanks(2) { try body(RankContext($0)) }[0]
  }

  /// How many ranks ``together(_:)`` has.
  var ranksTogether: Int { max(ranks, 2) }
}

/// The results of one training run.
struct Trained: Codable, Sendable {
  /// The training loss of every step taken.
  var losses: [Double] = []
  /// The test loss at the end; infinite if the run diverged.
  var loss = Double.infinity
  /// The test accuracy at the end.
  var accuracy = 0.0
  /// The share of test problems whose whole answer is right; nil unless labels are answers.
  var exactMatch: Double?
  /// The step in which the loss was no longer finite; nil if it always was.
  var divergedAt: Int?
  /// The values that the callback of ``train(_:data:context:onStep:)`` returned, in order.
  var notes: [Double] = []

  /// The mean training loss of the last tenth of the steps; infinite if the run diverged.
  var lastLoss: Double {
    guard divergedAt == nil, !losses.isEmpty else { return .infinity }
    let last = losses.suffix(max(1, losses.count / 10))
    return last.reduce(0, +) / Double(last.count)
  }

  /// The loss of a step, averaged with the nine steps before it; steps count from 1.
  func loss(at step: Int) -> Double {
    let window = losses[max(0, step - 10)..<step]
    return window.reduce(0, +) / Double(window.count)
  }

  /// The first step whose ``loss(at:)`` is at most `loss`; nil if there is none.
  func steps(to loss: Double) -> Int? {
    (1..<losses.count + 1).first { self.loss(at: $0) <= loss }
  }
}

/// Trains a run from its first step to its last, on the ranks of `context`, or on this thread alone if it is
/// nil.
///
/// `onStep` is called before the first step, with nil, and after each step; the values that it returns are
/// kept as notes. A run whose loss is no longer finite ends there: that is a result, not an error.
func train(
  _ configuration: RunConfiguration, data: DataSplit? = nil, context: RankContext? = nil,
  onStep: (TrainingRun, StepResult?) throws -> [Double] = { _, _ in [] }
) throws -> Trained {
  let data = try data ?? configuration.loadData()
  let run = try TrainingRun(configuration, data: data, context: context ?? RankContext(Solo()))
  var trained = Trained()
  trained.notes += try onStep(run, nil)
  do {
    while run.stepsTaken < run.totalSteps {
      let result = try run.step()
      trained.losses.append(result.loss)
      trained.notes += try onStep(run, result)
    }
    let evaluation = try run.evaluate()
    (trained.loss, trained.accuracy) = (evaluation.loss, evaluation.accuracy)
    trained.exactMatch = evaluation.exactMatch
    if !trained.loss.isFinite {
      (trained.loss, trained.divergedAt) = (.infinity, run.stepsTaken)
    }
  } catch is TrainingFailure {
    trained.divergedAt = run.stepsTaken + 1
  }
  return trained
}
