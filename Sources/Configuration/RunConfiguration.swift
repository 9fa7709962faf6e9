import Foundation
public import LockstepDataParallel
public import LockstepDatasets
public import LockstepFiles
import LockstepModels
public import LockstepNorms
public import LockstepOptimizers
public import LockstepTraining
import Yams

/// What a run trains, on what, and how: a decoded configuration file.
public struct RunConfiguration: Sendable {
  /// When the test set is evaluated, besides at the end.
  public enum EvaluationCadence: Hashable, Sendable {
    /// After every n epochs.
    case epochs(Int)
    /// After every n steps.
    case steps(Int)
    /// At the end alone.
    case atEnd
  }

  /// The run's name.
  public var name: String
  /// Keys every random number.
  public var seed: UInt64
  /// The network.
  public var model: ModelConfiguration
  /// The data.
  public var data: DataConfiguration
  /// The samples of a step.
  public var batch: BatchSize
  /// Into how many micro-batches a step's samples are cut.
  public var accumulate: Int
  /// The run's length.
  public var length: TrainingLength
  /// The optimizer.
  public var optimizer: OptimizerSettings
  /// The base learning rate.
  public var learningRate: Double
  /// Steps of warm-up.
  public var warmupSteps: Int
  /// How the rate falls after warm-up.
  public var decay: LearningRateSchedule.Decay
  /// The global gradient norm is clipped to this, unless nil.
  public var clipNorm: Double?
  /// Whether gradients are made of length 1.
  public var gradientNormalization: GradientNormalization
  /// How gradients are cut into buckets.
  public var buckets: BucketSettings
  /// Whether gradients travel while backward goes on.
  public var overlap: Bool
  /// How long a rank waits for a collective, in seconds, before it ends the run.
  public var watchdogSeconds: Int
  /// When to evaluate.
  public var evaluation: EvaluationCadence
  /// When to write checkpoints.
  public var checkpoint: CheckpointSettings
  /// Where the values stand, for messages.
  package private(set) var places: ConfigurationPlaces

  static let keys = [
    "name", "seed", "model", "data", "batch", "batchPerRank", "accumulate", "epochs", "steps",
    "optimizer", "schedule", "clipNorm", "gradientNormalization", "parallel", "evaluate",
    "checkpoint",
  ]

  /// Reads a configuration file, with `key.path=value` assignments on top.
  public init(path: String, set assignments: [String] = []) throws(ConfigurationError) {
    let text: String
    var status = stat()
    // Every rank reads it, and what a pipe holds can be read once.
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "no plain file"
      throw ConfigurationError(path, "is \(kind); name a file that holds a configuration")
    }
    do {
      text = try String(contentsOfFile: path, encoding: .utf8)
    } catch {
      let exists = FileManager.default.fileExists(atPath: path)
      throw ConfigurationError(
        path, exists ? "cannot be read as UTF-8 text" : "no such configuration file")
    }
    try self.init(yaml: text, name: path, set: assignments)
  }

  /// Decodes the text of a configuration; `name` stands before line and column in messages.
  public init(yaml: String, name: String, set assignments: [String] = [])
    throws(ConfigurationError)
  {
    var root = try ConfigurationNode.parse(yaml, name: name)
    for assignment in assignments { try root.assign(assignment) }
    let section = try ConfigurationSection(root, path: "", keys: Self.keys)
    places = ConfigurationPlaces(root)
    self.name = try section.text("name", default: "run")
    guard
      (1...200).contains(self.name.utf8.count),
      !self.name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else {
      throw ConfigurationError(
        section.place("name"), "name is \"\(self.name)\", expected one line of at most 200 bytes")
    }
    seed = UInt64(try section.int("seed", default: 1, in: 0...Int.max))
    model = try ModelConfiguration(section.requiredNode("model"), path: "model")
    data = try DataConfiguration(section.requiredNode("data"), path: "data")
    if data.isTokens != (model.context != nil) {
      throw ConfigurationError(
        section.place("data"),
        data.isTokens
          ? "data are sequences of tokens, which model.kind transformer takes"
          : "data are images, which model.kind mlp and resnet take")
    }
    let positive = ConfigurationLimits.count
    switch (section.has("batch"), section.has("batchPerRank")) {
    case (true, false): batch = .global(try section.int("batch", in: positive))
    case (false, true): batch = .perRank(try section.int("batchPerRank", in: positive))
    case (true, true):
      throw ConfigurationError(
        section.place("batchPerRank"),
        "both batch and batchPerRank are given, expected exactly one of them")
    case (false, false):
      throw ConfigurationError(
        section.place, "neither batch (over all ranks) nor batchPerRank is given, expected one")
    }
    accumulate = try section.int("accumulate", default: 1, in: positive)
    switch (section.has("epochs"), section.has("steps")) {
    case (true, false): length = .epochs(try section.int("epochs", in: positive))
    case (false, true): length = .steps(try section.int("steps", in: positive))
    case (true, true):
      throw ConfigurationError(
        section.place("steps"), "both epochs and steps are given, expected exactly one of them")
    case (false, false):
      throw ConfigurationError(section.place, "neither epochs nor steps is given, expected one")
    }
    (optimizer, learningRate) = try Self.optimizer(
      section.requiredNode("optimizer"), path: "optimizer")
    let schedule = try ConfigurationSection(
      section.nodeOrEmpty("schedule"), path: "schedule",
      keys: ["warmupSteps", "decay", "milestones", "factor", "final"])
    warmupSteps = try schedule.int(
      "warmupSteps", default: 0, in: 0...ConfigurationLimits.count.upperBound)
    decay = try Self.decay(schedule)
    clipNorm =
      section.has("clipNorm")
      ? try section.double("clipNorm", in: .leastNonzeroMagnitude ... .greatestFiniteMagnitude)
      : nil
    gradientNormalization = try section.choice("gradientNormalization", default: .none)
    if gradientNormalization != .none && clipNorm != nil {
      throw ConfigurationError(
        section.place("clipNorm"),
        "clipNorm and gradientNormalization both set the gradients' length, expected one")
    }
    let parallel = try ConfigurationSection(
      section.nodeOrEmpty("parallel"), path: "parallel",
      keys: ["firstBucketMegabytes", "bucketMegabytes", "overlap", "watchdogSeconds"])
    let sizes = 0.000_001...1024.0
    buckets = BucketSettings(
      firstBytes: Int(
        try parallel.double("firstBucketMegabytes", default: 1, in: sizes) * 1_048_576),
      bytes: Int(try parallel.double("bucketMegabytes", default: 25, in: sizes) * 1_048_576))
    overlap = try parallel.bool("overlap", default: true)
    watchdogSeconds = try parallel.int("watchdogSeconds", default: 60, in: 2...86_400)
    let evaluate = try ConfigurationSection(
      section.nodeOrEmpty("evaluate"), path: "evaluate", keys: ["everyEpochs", "everySteps"])
    switch (evaluate.has("everyEpochs"), evaluate.has("everySteps")) {
    case (true, false): evaluation = .epochs(try evaluate.int("everyEpochs", in: positive))
    case (false, true): evaluation = .steps(try evaluate.int("everySteps", in: positive))
    case (false, false): evaluation = .atEnd
    case (true, true):
      throw ConfigurationError(
        evaluate.place("everySteps"),
        "both evaluate.everyEpochs and evaluate.everySteps are given, expected one")
    }
    checkpoint = try CheckpointSettings(section.nodeOrEmpty("checkpoint"), path: "checkpoint")
  }

  /// Decodes an optimizer with its learning rate.
  package static func optimizer(_ node: ConfigurationNode, path: String) throws(ConfigurationError)
    -> (OptimizerSettings, Double)
  {
    let any = [
      "kind", "learningRate", "momentum", "nesterov", "weightDecay", "betas", "epsilon",
    ]
    let kind = try ConfigurationSection(node, path: path, keys: any)
      .choice("kind", of: ["sgd", "adamw"])
    let nonNegative = 0...Double.greatestFiniteMagnitude
    switch kind {
    case "sgd":
      let section = try ConfigurationSection(
        node, path: path, keys: ["kind", "learningRate", "momentum", "nesterov", "weightDecay"])
      let momentum = try section.double("momentum", default: 0, in: 0...1)
      let nesterov = try section.bool("nesterov", default: false)
      if nesterov && momentum == 0 {
        throw ConfigurationError(
          section.place("nesterov"), "\(path).nesterov needs a momentum above 0")
      }
      return (
        .sgd(
          momentum: momentum, nesterov: nesterov,
          weightDecay: try section.double("weightDecay", default: 0, in: nonNegative)),
        try section.double("learningRate", in: nonNegative)
      )
    default:
      let section = try ConfigurationSection(
        node, path: path, keys: ["kind", "learningRate", "betas", "epsilon", "weightDecay"])
      let betas = try section.doubles("betas", count: 2, default: [0.9, 0.999], in: 0..<1)
      return (
        .adamW(
          beta1: betas[0], beta2: betas[1],
          epsilon: try section.double("epsilon", default: 1e-8, in: nonNegative),
          weightDecay: try section.double("weightDecay", default: 0.01, in: nonNegative)),
        try section.double("learningRate", in: nonNegative)
      )
    }
  }

  private static func decay(_ section: ConfigurationSection) throws(ConfigurationError)
    -> LearningRateSchedule.Decay
  {
    let kind = try section.choice(
      "decay", of: ["constant", "step", "cosine", "linear"], default: "constant")
    let known = ["step": ["milestones", "factor"], "cosine": ["final"], "linear": ["final"]]
    for key in ["milestones", "factor", "final"]
    where section.has(key) && !(known[kind]?.contains(key) ?? false) {
      throw ConfigurationError(
        section.place(key), "schedule.\(key) means nothing to schedule.decay \"\(kind)\"")
    }
    switch kind {
    case "step":
      return .step(
        milestones: try section.ints("milestones", in: ConfigurationLimits.count),
        factor: try section.double("factor", default: 0.1, in: 0...1))
    case "cosine": return .cosine(final: try section.double("final", default: 0, in: 0...1))
    case "linear": return .linear(final: try section.double("final", default: 0, in: 0...1))
    default: return .constant
    }
  }

  /// The same run with another kind of norm, one of a list.
  public func with(norm kind: NormKind) -> RunConfiguration { with(norm: kind, from: "--norms") }

  /// The same run with another kind of norm, which an option of the command line asks for.
  public func with(norm kind: NormKind, from option: String) -> RunConfiguration {
    var copy = self
    copy.model.norm.kind = kind
    copy.places["model.norm.kind"] = "\(option) \(kind.rawValue)"
    return copy
  }

  /// Reads the data that the model is trained on.
  public func loadData() throws(DatasetError) -> DataSplit {
    try data.load(seed: seed, context: model.context)
  }

  /// The samples of a step over `ranks` ranks.
  public func globalBatch(ranks: Int) -> Int { batch.global(ranks: ranks) }

  /// The number of steps, for a given number of steps in an epoch.
  public func totalSteps(stepsPerEpoch: Int) -> Int {
    trainer.totalSteps(stepsPerEpoch: stepsPerEpoch)
  }

  /// How the model is trained.
  public var trainer: TrainerSettings {
    var settings = TrainerSettings(
      batch: batch, length: length, optimizer: optimizer, learningRate: learningRate)
    (settings.warmupSteps, settings.decay, settings.seed) = (warmupSteps, decay, seed)
    (settings.accumulate, settings.dropLast) = (accumulate, data.dropLast)
    (settings.augmentation, settings.clipNorm) = (data.augmentation, clipNorm)
    settings.gradientNormalization = gradientNormalization
    (settings.buckets, settings.overlap) = (buckets, overlap)
    return settings
  }

  /// Where the value of a path stands, for messages.
  package func place(_ path: String) -> String { places[path] }
}
