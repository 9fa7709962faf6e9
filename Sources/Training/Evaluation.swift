import LockstepAutograd
import LockstepCheckpoints
import LockstepCollectives
import LockstepDataParallel
public import LockstepDatasets
import LockstepFiles
import LockstepLayers
import LockstepModels
import LockstepTensors

/// The mean loss and accuracy over a data set.
public struct Evaluation: Hashable, Sendable {
  /// The mean loss.
  public let loss: Double
  /// The share of labels that were predicted correctly.
  public let accuracy: Double
  /// The share of problems whose whole answer was right; nil if labels are not answers to problems.
  public let exactMatch: Double?

  /// Throws if the loss is not finite, since the network is then useless after `step`.
  package func check(after step: Int) throws(TrainingFailure) {
    guard loss.isFinite else {
      throw TrainingFailure(divergedIn: step, "after it the loss on the test set is \(loss)")
    }
  }
}

extension Trainer {
  /// Evaluates the network on the test set, or on `other` data, which need at least one label.
  ///
  /// The samples are shared out over the ranks. If ranks have different running statistics, all use rank 0's
  /// during the evaluation, so that they evaluate the same network. A run takes the same course whether it is
  /// evaluated or not.
  ///
  /// Collective.
  public func evaluate(on other: (any Dataset)? = nil) throws -> Evaluation {
    try replica.lendingStatistics { try evaluation(on: other) }
  }

  private func evaluation(on other: (any Dataset)?) throws -> Evaluation {
    let test = other ?? test
    let counted = other.map { $0.labelCount(Array(0..<$0.count)[...]) } ?? testLabels
    precondition(counted > 0, "an evaluation needs at least one label")
    var sums = [0.0, 0.0, 0.0]
    let mine = share(ranks.rank, of: ranks.size, in: 0..<test.count)
    for from in stride(from: mine.lowerBound, to: mine.upperBound, by: evaluationBatch) {
      let batch = test.batch(from..<min(from + evaluationBatch, mine.upperBound))
      let tape = Tape(
        .evaluation, precision: settings.precision, validRows: batch.validRows)
      let loss = CrossEntropyLoss(
        try model(tape.input(batch.input), on: tape), labels: batch.labels, after: sums[0])
      sums[0] = loss.sum
      sums[1] += loss.correct
      if test.hasAnswers { sums[2] += Double(loss.exactMatches(of: batch.input.shape[0])) }
    }
    try ranks.control.sum(&sums)
    return Evaluation(
      loss: sums[0] / Double(counted), accuracy: sums[1] / Double(counted),
      exactMatch: test.hasAnswers ? sums[2] / Double(test.count) : nil)
  }

  /// How many samples a rank evaluates at once.
  ///
  /// They are no more than it trains on at once, so that an evaluation needs no more memory than a step. They
  /// are at most 128, which are enough to fill the processor.
  private var evaluationBatch: Int {
    let micro = settings.batch.global(ranks: ranks.size) / settings.accumulate
    return max(1, min(128, micro / ranks.size))
  }

  /// Throws unless all ranks have issued the same collectives and hold the same parameters, bit for bit.
  ///
  /// Collective.
  public func verifyReplicas() throws {
    try verifyCollectives()
    try LockstepDataParallel.verifyReplicas(model.parameters, over: ranks.control)
  }

  /// Throws unless all ranks have issued the same collectives.
  ///
  /// - Returns: Whether `isRight` is true on all ranks.
  @discardableResult
  package func verifyCollectives(and isRight: Bool = true) throws -> Bool {
    let mine = Int64(bitPattern: ranks.fingerprint.value)
    let all = try ranks.control.allGather([mine, isRight ? 1 : 0])
    if all.contains(where: { $0[0] != all[0][0] }) { throw try ranks.fingerprintError() }
    return all.allSatisfy { $0[1] == 1 }
  }
}
