import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepModels
import LockstepNorms
import LockstepRuns
import LockstepTensors
import LockstepTraining
import Testing

/// That ranks find out in every step whether they issue the same collectives.
@Suite struct RunFingerprintTests {
  /// What every rank throws where rank 1 names another purpose in one statistics collective of step 3:
  /// the sums go through, and only the fingerprint tells.
  private func errors(ranks: Int, group: String) throws -> [CommunicationError?] {
    let run = try smallRun(
      .syncBatch, steps: 6, extra: ["model.norm.statisticsGroup=\(group)"])
    let data = try run.loadData()
    return try withThreadRanks(ranks) { world in
      let context = try RankContext(MisnamingCommunicator(world))
      let replica = try TrainingRun(run, data: data, context: context)
      do {
        while replica.stepsTaken < replica.totalSteps {
          _ = try replica.step()
        }
        return nil
      } catch let error as CommunicationError {
        return error
      }
    }
  }

  @Test(arguments: ["all", "node", "2"])
  func aDifferenceIsNamedInTheNextComparison(group: String) throws {
    let errors = try errors(ranks: 4, group: group)
    for error in errors {
      let text = try #require(error, "nobody noticed").description
      #expect(error?.isSharedByAllRanks == true && error == errors[0])
      #expect(text.hasPrefix("collectives did not match: rank 1 reaches the all-reduce of "))
      #expect(text.contains(" for statistics of misnamed, forward (number "), "\(text)")
      #expect(text.contains("where ranks 0, 2 and 3 reach the all-reduce of "), "\(text)")
      #expect(text.contains("float64 for statistics of layer1.0.bn1, forward"), "\(text)")
    }
  }

  @Test func checksChangeNoBitAndCountAsControl() throws {
    let run = try smallRun(.syncBatch, steps: 5)
    let data = try run.loadData()
    func trained(checks: Bool) throws -> [Seen] {
      try withThreadRanks(3) { world in
        let replica = try TrainingRun(
          run, data: data, context: RankContext(world, checks: checks))
        var seen = Seen()
        while replica.stepsTaken < replica.totalSteps {
          seen.steps.append(try replica.step())
          seen.digests.append(parameterDigest(replica.model.parameters))
        }
        try replica.verifyReplicas()
        return seen
      }
    }
    let (plain, checked) = (try trained(checks: false), try trained(checks: true))
    for (a, b) in zip(plain, checked) {
      #expect(a.digests == b.digests)
      for (before, after) in zip(a.steps, b.steps) {
        #expect(after.statistics.collectives == before.statistics.collectives)
        #expect(after.gradients.bytes == before.gradients.bytes)
        let issued =
          before.statistics.collectives + before.gradients.collectives
          + before.control.collectives
        #expect(after.control.collectives == before.control.collectives + issued)
        #expect(after.control.bytes == before.control.bytes + issued * 5 * 8)
      }
    }
  }

  @Test func aStepComparesFingerprintsInTheSumThatItTakesAnyway() throws {
    let step = try trained(try smallRun(.layer, steps: 1), ranks: 2)[0].steps[0]
    #expect(step.control.collectives == 1)
    #expect(step.control.bytes == 8 * (10 + FingerprintDigits.width))
  }
}

/// A communicator that says on rank 1 in step 3 that the statistics of layer1.0.bn1 are another layer's.
final class MisnamingCommunicator: ForwardingCommunicator {
  let inner: any Communicator
  private let worldRank: Int
  private var calls = 0

  init(_ inner: any Communicator, worldRank: Int? = nil) {
    self.inner = inner
    self.worldRank = worldRank ?? inner.rank
  }

  func forwarding(_ inner: any Communicator) -> any Communicator {
    MisnamingCommunicator(inner, worldRank: worldRank)
  }

  func sum<Element: Communicable>(_ values: inout MutableSpan<Element>, for purpose: Purpose)
    throws(CommunicationError)
  {
    var purpose = purpose
    if purpose == .statistics(EventName("layer1.0.bn1"), .forward) {
      calls += 1
      if calls == 3, worldRank == 1 { purpose = .statistics(EventName("misnamed"), .forward) }
    }
    try inner.sum(&values, for: purpose)
  }
}
