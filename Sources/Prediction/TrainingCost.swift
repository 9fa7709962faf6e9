/// How a recorded run's loss fell, and how many samples that took.
public struct TrainingCourse: Hashable, Sendable {
  /// The samples of an epoch.
  public let epochSamples: Double
  /// The samples of a rank in a step.
  public let samplesPerRank: Double
  /// The steps until the target loss; nil where it was not reached, or none was given.
  public let stepsToTarget: Int?

  /// A course.
  public init(epochSamples: Double, samplesPerRank: Double, stepsToTarget: Int?) {
    (self.epochSamples, self.samplesPerRank) = (epochSamples, samplesPerRank)
    self.stepsToTarget = stepsToTarget
  }
}

/// What training costs on a number of ranks.
///
/// More ranks take larger batches, each rank as many samples as a recorded one. So an epoch has fewer steps.
/// The steps to a loss are taken to be as many as were recorded: a larger batch may need fewer, and does not
/// at a learning rate that is not adapted to it.
public struct TrainingCost: Codable, Hashable, Sendable {
  /// The steps of an epoch.
  public let epochSteps: Double
  /// An epoch, in seconds.
  public let epochSeconds: Double
  /// What its ranks cost together; nil without a price.
  public let epochPrice: Double?
  /// The steps to the target loss; nil where it was not reached, or none was given.
  public let targetSteps: Int?
  /// The time to it, in seconds.
  public let targetSeconds: Double?
  /// What the ranks cost until then.
  public let targetPrice: Double?

  private enum CodingKeys: String, CodingKey {
    case epochSteps = "epoch_steps"
    case epochSeconds = "epoch_s"
    case epochPrice = "epoch_price"
    case targetSteps = "target_steps"
    case targetSeconds = "target_s"
    case targetPrice = "target_price"
  }

  /// The cost of a course on `ranks` ranks, each at `price` an hour, with steps of `seconds`.
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
