import Foundation
public import LockstepDataParallel
public import LockstepDatasets
public import LockstepFiles
import LockstepModels
public import LockstepNorms
public import LockstepOptimizers
public import LockstepTensors
public import LockstepTraining
import Yams

/// What a run trains, on what, and how: a decoded configuration file.
public struct RunConfiguration: Sendable {
  /// When the test set is evaluated, in addition to the evaluation at the end.
  public enum EvaluationCadence: Hashable, Sendable {
    /// After every n epochs.
    case epochs(Int)
    /// After every n steps.
    case steps(Int)
    /// Only at the end.
    case atEnd
  }

  /// The run's name.
  public var name = "run"
  /// The seed of all random numbers.
  public var seed: UInt64 = 1
  /// In what numbers activations and their gradients are stored.
  public var precision = Precision.float32
  /// The network.
  public var model = ModelConfiguration.initial
  /// The data.
  public var data = DataConfiguration(source: .digits)
  /// The number of samples in a step.
  public var batch = BatchSize.global(0)
  /// The number of micro-batches that a step's samples are divided into.
  public var accumulate = 1
  /// The run's length.
  public var length = TrainingLength.steps(0)
  /// The optimizer.
  public var optimizer = OptimizerSettings.sgd()
  /// The base learning rate.
  public var learningRate = 0.0
  /// The number of steps in which the learning rate climbs to the base rate.
  public var warmupSteps = 0
  /// How the rate falls after warm-up.
  public var decay = LearningRateSchedule.Decay.constant
  /// The value that the global norm of the gradients is clipped to; nil for no clipping.
  public var clipNorm: Double?
  /// Whether gradients are scaled to length 1.
  public var gradientNormalization = GradientNormalization.none
  /// How gradients are divided into buckets.
  public var buckets = BucketSettings()
  /// Whether gradients are all-reduced while the backward pass goes on.
  public var overlap = true
  /// In what numbers gradients travel between ranks.
  public var gradientPrecision = Precision.float32
  /// How long a rank waits for a collective, in seconds, before it ends the run.
  public var watchdogSeconds = 60
  /// When to evaluate.
  public var evaluation = EvaluationCadence.atEnd
  /// When to write checkpoints.
  public var checkpoint = CheckpointSettings()
  /// The places of the values, for messages.
  package private(set) var places: ConfigurationPlaces

  /// Reads a configuration file, and then applies `key.path=value` assignments.
  public init(path: String, set assignments: [String] = []) throws(ConfigurationError) {
    let text: String
    var status = stat()
    // Every rank reads the file, but a pipe can be read only once.
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a plain file"
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

  /// Decodes the text of a configuration; messages have `name` in front of the line and column.
  public init(yaml: String, name: String, set assignments: [String] = [])
    throws(ConfigurationError)
  {
    var root = try ConfigurationNode.parse(yaml, name: name)
    for assignment in assignments { try root.assign(assignment) }
    places = ConfigurationPlaces(root)
    try SectionCoder.read(root, path: "", into: &self)
    try checkTogether()
  }

  /// Throws if the name is unusable, or if keys of different sections contradict each other.
  private func checkTogether() throws(ConfigurationError) {
    guard
      (1...200).contains(name.utf8.count),
      !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else {
      throw ConfigurationError(
        places["name"], "name is \"\(name)\", expected one line of at most 200 bytes")
    }
    if data.isTokens != (model.context != nil) {
      throw ConfigurationError(
        places["data"],
        data.isTokens
          ? "data are sequences of tokens, which only model.kind lstm, ngpt and transformer take"
          : "data are images, which only model.kind mlp and resnet take")
    }
    if gradientNormalization != .none && clipNorm != nil {
      throw ConfigurationError(
        places["clipNorm"],
        "clipNorm and gradientNormalization both set the length of the gradients, expected one")
    }
  }

  /// Decodes an optimizer with its learning rate.
  package static func optimizer(_ node: ConfigurationNode, path: String)
    throws(ConfigurationError) -> (OptimizerSettings, Double)
  {
    var section = OptimizerSection(optimizer: .sgd())
    try SectionCoder.readKind(node, path: path, into: &section)
    return (section.optimizer, section.learningRate)
  }

  /// The same run with another kind of norm, from the list of `--norms`.
  public func with(norm kind: NormKind) -> RunConfiguration { with(norm: kind, from: "--norms") }

  /// The same run with another kind of norm, from the command-line option `option`.
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

  /// The number of samples in a step over `ranks` ranks.
  public func globalBatch(ranks: Int) -> Int { batch.global(ranks: ranks) }

  /// The total number of steps, given the number of steps in an epoch.
  public func totalSteps(stepsPerEpoch: Int) -> Int {
    trainer.totalSteps(stepsPerEpoch: stepsPerEpoch)
  }

  /// The trainer's settings.
  public var trainer: TrainerSettings {
    var settings = TrainerSettings(
      batch: batch, length: length, optimizer: optimizer, learningRate: learningRate)
    (settings.warmupSteps, settings.decay, settings.seed) = (warmupSteps, decay, seed)
    (settings.accumulate, settings.dropLast) = (accumulate, data.dropLast)
    (settings.augmentation, settings.clipNorm) = (data.augmentation, clipNorm)
    (settings.gradientNormalization, settings.precision) = (gradientNormalization, precision)
    (settings.buckets, settings.overlap) = (buckets, overlap)
    settings.gradientPrecision = gradientPrecision
    return settings
  }

  /// The place of a value, for messages; if a norm's setting is not given, the place of the norm's kind.
  package func place(_ path: String) -> String {
    let isNorms = path.hasPrefix("model.norm.") && !places.has(path)
    return places[isNorms ? "model.norm.kind" : path]
  }
}
