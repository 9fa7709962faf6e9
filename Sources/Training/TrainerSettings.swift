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

  /// The samples of a step over `ranks` ranks.
  public func global(ranks: Int) -> Int {
    switch self {
    case .global(let count): count
    case .perRank(let count): count * ranks
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
  /// The samples of a step.
  public var batch: BatchSize
  /// How long it trains.
  public var length: TrainingLength
  /// What updates the parameters.
  public var optimizer: OptimizerSettings
  /// The base learning rate.
  public var learningRate: Double
  /// Steps in which the rate climbs to the base rate.
  public var warmupSteps = 0
  /// How the rate falls after warm-up.
  public var decay = LearningRateSchedule.Decay.constant
  /// Keys the order of the samples and every random number.
  public var seed: UInt64 = 1
  /// Into how many micro-batches a step's samples are cut.
  public var accumulate = 1
  /// Whether the order of the samples is drawn anew each epoch.
  public var shuffles = true
  /// Whether a last batch of an epoch that is not whole is left out.
  public var dropLast = false
  /// How images are cropped and flipped.
  public var augmentation = Augmentation(crop: 0, flip: false)
  /// The global gradient norm is clipped to this, unless nil.
  public var clipNorm: Double?
  /// Whether gradients are made of length 1.
  public var gradientNormalization = GradientNormalization.none
  /// How gradients are cut into buckets.
  public var buckets = BucketSettings()
  /// Whether gradients travel while backward goes on.
  public var overlap = true
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

  /// The number of steps, for a given number of steps in an epoch.
  public func totalSteps(stepsPerEpoch: Int) -> Int {
    switch length {
    case .epochs(let epochs): epochs * stepsPerEpoch
    case .steps(let steps): steps
    }
  }
}
