public import LockstepCollectives
public import LockstepDataParallel
public import LockstepRecording

/// The result of one step, the same on all ranks except for times and traffic.
public struct StepResult: Hashable, Sendable {
  /// The step's number, from 1.
  public let step: Int
  /// The epoch's number, from 1.
  public let epoch: Int
  /// The mean loss over the global batch, before the update.
  public let loss: Double
  /// The share of the global batch's labels that were predicted correctly.
  public let accuracy: Double
  /// The learning rate.
  public let learningRate: Double
  /// The number of samples in the global batch.
  public let samples: Int
  /// The number of labels in the global batch: one for each image, or one for each token that is judged.
  public let labels: Int
  /// The step's duration on this rank.
  public let nanoseconds: Int
  /// This rank's statistics traffic.
  public let statistics: Traffic
  /// This rank's gradient traffic.
  public let gradients: Traffic
  /// This rank's other traffic.
  public let control: Traffic
  /// What any rank asked of all ranks.
  public let requests: StepRequests
  /// What disturbed the step: on any rank until the end of the backward pass, and after that on this rank.
  public let disturbance: StepDisturbance
  /// Whether the step was taken with overlap in order to find out whether overlap pays.
  package let isOverlapTrial: Bool
  /// The round of a comparison in which the step counts; nil if it does not count, or there is no comparison.
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
