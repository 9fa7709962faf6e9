public import LockstepCollectives
public import LockstepDataParallel
public import LockstepRecording

/// What one step was, the same on all ranks but for times and traffic.
public struct StepResult: Hashable, Sendable {
  /// The step's number, from 1.
  public let step: Int
  /// The epoch's number, from 1.
  public let epoch: Int
  /// The mean loss over the global batch, before the update.
  public let loss: Double
  /// The share of the global batch that was classified right.
  public let accuracy: Double
  /// The learning rate.
  public let learningRate: Double
  /// The samples of the global batch.
  public let samples: Int
  /// The labels among them: one an image, one a token.
  public let labels: Int
  /// The step's duration on this rank.
  public let nanoseconds: Int
  /// This rank's statistics traffic.
  public let statistics: Traffic
  /// This rank's gradient traffic.
  public let gradients: Traffic
  /// This rank's other traffic.
  public let control: Traffic
  /// What any rank asked of all.
  public let requests: StepRequests
  /// What came between the step and its processors: on this rank, or on any until the end of backward.
  public let disturbance: StepDisturbance
  /// Whether the step was taken to find out whether overlap pays, with overlap.
  package let isOverlapTrial: Bool
  /// The round of a comparison in which the step counts; nil where it does not, or there is none.
  public package(set) var round: Int?

  package init(
    step: Int, epoch: Int, loss: Double, accuracy: Double, learningRate: Double, samples: Int,
    labels: Int, nanoseconds: Int, statistics: Traffic, gradients: Traffic, control: Traffic,
    requests: StepRequests, disturbance: StepDisturbance, isOverlapTrial: Bool
  ) {
    (self.step, self.epoch, self.loss, self.accuracy) = (step, epoch, loss, accuracy)
    (self.learningRate, self.samples, self.labels) = (learningRate, samples, labels)
    (self.nanoseconds, self.statistics, self.gradients) = (nanoseconds, statistics, gradients)
    (self.control, self.requests, self.disturbance) = (control, requests, disturbance)
    self.isOverlapTrial = isOverlapTrial
  }
}

extension StepResult {
  /// The step's duration on this rank, in milliseconds.
  public var milliseconds: Double { Double(nanoseconds) / 1e6 }

  /// How long this rank was inside collectives or waited for them, in milliseconds.
  public var blockedMilliseconds: Double { (statistics + gradients + control).blockedMilliseconds }
}
