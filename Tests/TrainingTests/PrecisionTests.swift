import LockstepCheckpoints
import LockstepCollectives
import LockstepConfiguration
import LockstepDataParallel
import LockstepFiles
import LockstepNorms
import LockstepRuns
import LockstepTensors
import LockstepTraining
import Testing

/// Runs whose activations are stored in bfloat16.
@Suite struct PrecisionTests {
  static let bfloat16 = "precision=bfloat16"
  static let transformer = [
    "model={kind: transformer, context: 12, width: 16, heads: 2, layers: 2, norm: {kind: rms}}",
    "data={kind: arithmetic, digits: 2, samples: 38}",
    "optimizer={kind: adamw, learningRate: 0.01}",
  ]

  /// bfloat16 keeps 8 bits, so that one rounding is off by at most 1/256 and ten steps of losses by no more than
  /// four times that.
  @Test(arguments: RankCountTests.invariant)
  func lossesDoNotDependOnTheNumberOfRanksBeyondRounding(norm: NormKind) throws {
    let run = try smallRun(norm, steps: 10, extra: [Self.bfloat16, RankCountTests.synchronized])
    let alone = try trained(run, ranks: 1)[0].losses
    for ranks in 2...4 {
      let losses = try trained(run, ranks: ranks)[0].losses
      #expect(difference(losses, alone) < 4.0 / 256, "\(ranks) ranks")
    }
  }

  @Test(arguments: [[], ["parallel.gradients=bfloat16"], transformer])
  func allRanksHoldTheSameBitsAndTwoRunsAreTheSame(extra: [String]) throws {
    let run = try smallRun(
      .syncBatch, activation: "relu", steps: 8, extra: [Self.bfloat16] + extra)
    let first = try trained(run, ranks: 3)
    #expect(first.allSatisfy { $0.digests == first[0].digests && $0.losses == first[0].losses })
    #expect(Set(first[0].digests).count == 8)
    #expect(try trained(run, ranks: 3)[0].digests == first[0].digests)
  }

  /// The first step's loss differs by rounding alone; it does differ.
  @Test(arguments: [[], transformer])
  func aStepInBFloat16IsOneInFloat32UpToRounding(extra: [String]) throws {
    let wide = try trained(smallRun(.layer, steps: 1, extra: extra), ranks: 1)[0].losses
    let narrow = try trained(
      smallRun(.layer, steps: 1, extra: [Self.bfloat16] + extra), ranks: 1)[0].losses
    let apart = difference(narrow, wide)
    #expect(apart > 0 && apart < 1.0 / 64, "apart by \(apart)")
  }

  @Test func gradientsInBFloat16AreHalfTheBytesAndNearlyTheSameSums() throws {
    let wide = try trained(smallRun(.layer, steps: 6), ranks: 3)[0]
    let narrow = try trained(
      smallRun(.layer, steps: 6, extra: ["parallel.gradients=bfloat16"]), ranks: 3)[0]
    for (a, b) in zip(narrow.steps, wide.steps) {
      #expect(2 * a.gradients.bytes == b.gradients.bytes)
      #expect(a.gradients.collectives == b.gradients.collectives)
    }
    #expect(narrow.digests != wide.digests, "they are rounded")
    #expect(difference(narrow.losses, wide.losses) < 1.0 / 64)
  }

  /// Gains and biases of sync-batch over all ranks travel in float64 with its statistics, whatever gradients do.
  @Test func statisticsStayInFloat64() throws {
    let wide = try trained(smallRun(.syncBatch, steps: 2), ranks: 2)[0].steps[0]
    let narrow = try trained(
      smallRun(.syncBatch, steps: 2, extra: [Self.bfloat16, "parallel.gradients=bfloat16"]),
      ranks: 2)[0].steps[0]
    #expect(narrow.statistics.bytes == wide.statistics.bytes)
    #expect(narrow.statistics.collectives == wide.statistics.collectives)
  }

  /// Checkpoints hold float32 parameters in either precision.
  @Test(arguments: [["float32", "bfloat16"], ["bfloat16", "float32"]])
  func aRunGoesOnInTheOtherPrecision(precisions: [String]) throws {
    func state(_ precision: String, from begin: StateDictionary?) throws -> (
      Double, StateDictionary
    ) {
      let run = try smallRun(.syncBatch, steps: 8, extra: ["precision=\(precision)"])
      let data = try run.loadData()
      return try withThreadRanks(2) { world in
        let replica = try TrainingRun(
          run, data: data, context: RankContext(world), initialState: begin)
        var loss = 0.0
        for _ in 0..<3 { loss = try replica.step().loss }
        return (loss, try replica.state())
      }[0]
    }
    let begin = try state(precisions[0], from: nil).1
    let (same, other) = (
      try state(precisions[0], from: begin).0, try state(precisions[1], from: begin).0
    )
    #expect(abs(other - same) < abs(same) / 32, "\(other) and \(same)")
  }

  @Test(arguments: [
    ("precision=bfloat17", "unknown precision \"bfloat17\"; did you mean \"bfloat16\"?"),
    ("parallel.gradients=float16", "unknown parallel.gradients \"float16\"; did you mean"),
  ])
  func anUnknownPrecisionIsNamedWithTheNearest(assignment: String, expected: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      try smallRun(.layer, extra: [assignment])
    }
    #expect(error.map { "\($0)".contains(expected) } ?? false, "\(error.map { "\($0)" } ?? "none")")
  }

  @Test func aResolvedConfigurationSaysThePrecisions() throws {
    let yaml = try smallRun(.layer, extra: [Self.bfloat16]).resolvedYAML
    #expect(yaml.contains("precision: bfloat16") && yaml.contains("gradients: float32"))
    #expect(try RunConfiguration(yaml: yaml, name: "again").precision == .bfloat16)
  }
}
