import LockstepFiles
import LockstepTensors
import LockstepTraining
import Yams

extension RunConfiguration {
  /// The configuration as YAML with every default spelt out; decoding it gives the same run.
  public var resolvedYAML: String {
    get throws { try Yams.serialize(node: SectionCoder.node(of: self) ?? .mapping([])) }
  }
}

/// The whole document.
extension RunConfiguration: DescribedSection {
  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    let positive = ConfigurationLimits.count
    try coder.text("name", &name)
    try coder.visit("seed", as: .of(seed)) { section throws(ConfigurationError) in
      seed = UInt64(try section.int("seed", default: 1, in: 0...Int.max))
    }
    try coder.choice("precision", &precision)
    try coder.section("model", &model, isRequired: true)
    try coder.section("data", &data, isRequired: true)
    try coder.oneOf(
      [
        (
          "batch",
          { section throws(ConfigurationError) in
            BatchSize.global(try section.int("batch", in: positive))
          },
          { if case .global(let count) = $0 { .of(count) } else { nil } }
        ),
        (
          "batchPerRank",
          { section throws(ConfigurationError) in
            BatchSize.perRank(try section.int("batchPerRank", in: positive))
          },
          { if case .perRank(let count) = $0 { .of(count) } else { nil } }
        ),
      ], &batch,
      both:
        "both batch and batchPerRank are given, expected exactly one of them; \"--set batch=null\" takes one back",
      none: "neither batch (over all ranks) nor batchPerRank is given, expected one")
    try coder.int("accumulate", &accumulate, in: positive)
    try coder.oneOf(
      [
        (
          "epochs",
          { section throws(ConfigurationError) in
            TrainingLength.epochs(try section.int("epochs", in: positive))
          },
          { if case .epochs(let count) = $0 { .of(count) } else { nil } }
        ),
        (
          "steps",
          { section throws(ConfigurationError) in
            TrainingLength.steps(try section.int("steps", in: positive))
          },
          { if case .steps(let count) = $0 { .of(count) } else { nil } }
        ),
      ], &length,
      both:
        "both epochs and steps are given, expected exactly one of them; \"--set epochs=null\" takes one back",
      none: "neither epochs nor steps is given, expected one")
    var optimizing = OptimizerSection(optimizer: optimizer, learningRate: learningRate)
    try coder.section("optimizer", &optimizing, isRequired: true)
    (optimizer, learningRate) = (optimizing.optimizer, optimizing.learningRate)
    var schedule = ScheduleSection(warmupSteps: warmupSteps, decay: decay)
    try coder.section("schedule", &schedule)
    (warmupSteps, decay) = (schedule.warmupSteps, schedule.decay)
    try coder.double(
      "clipNorm", &clipNorm, in: .leastNonzeroMagnitude ... .greatestFiniteMagnitude)
    try coder.choice("gradientNormalization", &gradientNormalization)
    var parallel = ParallelSection(
      buckets: buckets, overlap: overlap, watchdogSeconds: watchdogSeconds,
      gradients: gradientPrecision)
    try coder.section("parallel", &parallel)
    (buckets, overlap) = (parallel.buckets, parallel.overlap)
    (watchdogSeconds, gradientPrecision) = (parallel.watchdogSeconds, parallel.gradients)
    var evaluate = EvaluateSection(cadence: evaluation)
    try coder.section("evaluate", &evaluate)
    evaluation = evaluate.cadence
    try coder.section("checkpoint", &checkpoint)
  }
}

/// The `evaluate` section.
private struct EvaluateSection: DescribedSection {
  var cadence: RunConfiguration.EvaluationCadence

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    let positive = ConfigurationLimits.count
    try coder.oneOf(
      [
        (
          "everyEpochs",
          { section throws(ConfigurationError) in
            RunConfiguration.EvaluationCadence.epochs(
              try section.int("everyEpochs", in: positive))
          },
          { if case .epochs(let count) = $0 { .of(count) } else { nil } }
        ),
        (
          "everySteps",
          { section throws(ConfigurationError) in
            RunConfiguration.EvaluationCadence.steps(try section.int("everySteps", in: positive))
          },
          { if case .steps(let count) = $0 { .of(count) } else { nil } }
        ),
      ], &cadence,
      both:
        "both evaluate.everyEpochs and evaluate.everySteps are given, expected one; \"--set evaluate.everyEpochs=null\" takes one back",
      none: nil)
  }
}
