/// How large a recorded run's epoch is, and how many steps it took to a target loss.
public struct TrainingCourse: Hashable, Sendable {
  /// The number of samples in an epoch.
  public let epochSamples: Double
  /// The number of samples that a rank takes in a step.
  public let samplesPerRank: Double
  /// The steps until the target loss; nil if it was not reached, or none was given.
  public let stepsToTarget: Int?

  /// Creates a course.
  public init(epochSamples: Double, samplesPerRank: Double, stepsToTarget: Int?) {
    (self.epochSamples, self.samplesPerRank) = (epochSamples, samplesPerRank)
    self.stepsToTarget = stepsToTarget
  }
}

/// What training costs on a number of ranks.
///
/// Each rank takes as many samples as a recorded one. So more ranks mean a larger batch, and an epoch has
/// fewer steps. The number of steps to the target loss is assumed to be the recorded one: a larger batch
/// may need fewer, but only if the learning rate is adapted to it.
public struct TrainingCost: Codable, Hashable, Sendable {
  /// The number of steps in an epoch.
  public let epochSteps: Double
  /// The time of an epoch, in seconds.
  public let epochSeconds: Double
  /// What all ranks cost for an epoch; nil without a price.
  public let epochPrice: Double?
  /// The steps to the target loss; nil if it was not reached, or none was given.
  public let targetSteps: Int?
  /// The time to the target loss, in seconds.
  public let targetSeconds: Double?
  /// What all ranks cost until the target loss.
  public let targetPrice: Double?

  private enum CodingKeys: String, CodingKey {
    case epochSteps = "epoch_steps"
    case epochSeconds = "epoch_s"
    case epochPrice = "epoch_price"
    case targetSteps = "target_steps"
    case targetSeconds = "target_s"
    case targetPrice = "target_price"
  }

  /// The cost of a course on `ranks` ranks, each at `price` per hour, with steps of `step` seconds.
  init(_ course: TrainingCourse, ranks: Int, step: Double, price: Double?) {
    func cost(_ seconds: Double) -> Double? { price.map { seconds / 3600 * Double(ranks) * $0 } }
    epochSteps = max(1, course.epochSamples / (course.samplesPerRank * Double(ranks)))
    epochSeconds = epochSteps * step
    epochPrice = cost(epochSeconds)
    targetSteps = course.stepsToTarget
    targetSeconds = course.stepsToTarget.map { Double($0) * step }
    targetPrice = targetSeconds.flatMap(cost)
  }
}
