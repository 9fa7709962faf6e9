public import LockstepDataParallel
public import LockstepDatasets
public import LockstepOptimizers
public import LockstepTensors

/// How the number of samples of a step is given.
public enum BatchSize: Hashable, Sendable {
  /// A number over all ranks.
  case global(Int)
  /// A number on each rank.
  case perRank(Int)

  /// The number of samples in a step over `ranks` ranks; `Int.max` where it is larger.
  public func global(ranks: Int) -> Int {
    switch self {
    case .global(let count): count
    case .perRank(let count): product(count, ranks)
    }
  }
}

/// How long a run is.
public enum TrainingLength: Hashable, Sendable {
  /// A number of passes over the training set.
  case epochs(Int)
  /// A number of steps.
  case steps(Int)
}

/// How a ``Trainer`` trains.
public struct TrainerSettings: Sendable {
  /// The number of samples in a step.
  public var batch: BatchSize
  /// How long to train.
  public var length: TrainingLength
  /// The optimizer, which updates the parameters.
  public var optimizer: OptimizerSettings
  /// The base learning rate.
  public var learningRate: Double
  /// The number of steps in which the learning rate climbs to the base rate.
  public var warmupSteps = 0
  /// How the rate falls after warm-up.
  public var decay = LearningRateSchedule.Decay.constant
  /// The seed of the order of the samples and of all random numbers.
  public var seed: UInt64 = 1
  /// The number of micro-batches that a step's samples are divided into.
  public var accumulate = 1
  /// Whether each epoch has a new random order of the samples.
  public var shuffles = true
  /// Whether the last batch of an epoch is left out if it is smaller than the others.
  public var dropLast = false
  /// How images are cropped and flipped.
  public var augmentation = Augmentation(crop: 0, flip: false)
  /// The value that the global norm of the gradients is clipped to; nil for no clipping.
  public var clipNorm: Double?
  /// Whether gradients are scaled to length 1.
  public var gradientNormalization = GradientNormalization.none
  /// How gradients are divided into buckets.
  public var buckets = BucketSettings()
  /// Whether gradients are all-reduced while the backward pass goes on.
  public var overlap = true
  /// In what numbers gradients travel between ranks, apart from those that a norm sums with its statistics.
  public var gradientPrecision = Precision.float32
  /// In what numbers activations and their gradients are stored; parameters, the sums behind them and the
  /// optimizer's state are float32 or wider in either.
  public var precision = Precision.float32

  /// Settings for `length`, with all others at their defaults.
  public init(
    batch: BatchSize, length: TrainingLength, optimizer: OptimizerSettings, learningRate: Double
  ) {
    (self.batch, self.length) = (batch, length)
    (self.optimizer, self.learningRate) = (optimizer, learningRate)
  }

  /// The total number of steps, given the number of steps in an epoch; `Int.max` where it is larger.
  public func totalSteps(stepsPerEpoch: Int) -> Int {
    switch length {
    case .epochs(let epochs): product(epochs, stepsPerEpoch)
    case .steps(let steps): steps
    }
  }
}

/// The product of two numbers that are not negative, or the largest number where it is larger.
private func product(_ a: Int, _ b: Int) -> Int {
  let (product, overflows) = a.multipliedReportingOverflow(by: b)
  return overflows ? .max : product
}
