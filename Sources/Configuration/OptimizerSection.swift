import LockstepFiles
import LockstepOptimizers

/// The `optimizer` section.
struct OptimizerSection: SectionOfKinds {
  var optimizer: OptimizerSettings
  var learningRate = 0.0

  static let kinds = [
    ("sgd", OptimizerSection(optimizer: .sgd())), ("adamw", OptimizerSection(optimizer: .adamW())),
  ].map { (name: $0.0, initial: $0.1) }

  var kindName: String {
    switch optimizer {
    case .sgd: "sgd"
    case .adamW: "adamw"
    }
  }

  private static let nonNegative = 0...Double.greatestFiniteMagnitude

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.double("learningRate", &learningRate, isRequired: true, in: Self.nonNegative)
    switch optimizer {
    case .sgd(var momentum, var nesterov, var weightDecay):
      try coder.double("momentum", &momentum, in: 0...1)
      try coder.bool("nesterov", &nesterov)
      if let section = coder.section, nesterov, momentum == 0 {
        throw ConfigurationError(
          section.place("nesterov"), "\(coder.path).nesterov needs a momentum above 0")
      }
      try coder.double("weightDecay", &weightDecay, in: Self.nonNegative)
      optimizer = .sgd(momentum: momentum, nesterov: nesterov, weightDecay: weightDecay)
    case .adamW(let beta1, let beta2, var epsilon, var weightDecay):
      var betas = [beta1, beta2]
      try coder.visit("betas", as: .list(betas)) { section throws(ConfigurationError) in
        betas = try section.doubles("betas", count: 2, default: betas, in: 0..<1)
      }
      try coder.double("epsilon", &epsilon, in: Self.nonNegative)
      try coder.double("weightDecay", &weightDecay, in: Self.nonNegative)
      optimizer = .adamW(
        beta1: betas[0], beta2: betas[1], epsilon: epsilon, weightDecay: weightDecay)
    }
  }
}

/// The `schedule` section.
struct ScheduleSection: DescribedSection {
  var warmupSteps = 0
  var decay = LearningRateSchedule.Decay.constant

  private static let kinds: [(name: String, initial: LearningRateSchedule.Decay)] = [
    ("constant", .constant), ("step", .step(milestones: [], factor: 0.1)), ("cosine", .cosine()),
    ("linear", .linear()),
  ]

  private var kindName: String {
    switch decay {
    case .constant: "constant"
    case .step: "step"
    case .cosine: "cosine"
    case .linear: "linear"
    }
  }

  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError) {
    try coder.int("warmupSteps", &warmupSteps, in: 0...ConfigurationLimits.count.upperBound)
    var kind = kindName
    try coder.choice("decay", &kind, of: Self.kinds.map(\.name))
    if kind != kindName { decay = Self.kinds.first { $0.name == kind }?.initial ?? decay }
    let means = ["step": ["milestones", "factor"], "cosine": ["final"], "linear": ["final"]]
    for key in ["milestones", "factor", "final"] {
      guard let section = coder.section, section.has(key), means[kind]?.contains(key) != true else {
        continue
      }
      throw ConfigurationError(
        section.place(key),
        "\(coder.path).\(key) has no meaning for \(coder.path).decay \"\(kind)\"")
    }
    var (milestones, factor, final): ([Int], Double, Double) = ([], 0.1, 0)
    switch decay {
    case .constant: break
    case .step(let known, let by): (milestones, factor) = (known, by)
    case .cosine(let last), .linear(let last): final = last
    }
    if coder.isListing || kind == "step" {
      try coder.ints("milestones", &milestones, in: ConfigurationLimits.count)
      try coder.double("factor", &factor, in: 0...1)
    }
    if coder.isListing || kind == "cosine" || kind == "linear" {
      try coder.double("final", &final, in: 0...1)
    }
    switch decay {
    case .constant: break
    case .step: decay = .step(milestones: milestones, factor: factor)
    case .cosine: decay = .cosine(final: final)
    case .linear: decay = .linear(final: final)
    }
  }
}
