public import LockstepFiles

/// The reason that a run had to end, on all ranks in the same step.
public struct TrainingFailure: ProgramError, Hashable, Sendable {
  /// Every rank throws it.
  public var isSharedByAllRanks: Bool { true }

  /// The run failed.
  public var exitStatus: Int32 { ExitStatus.failed }

  /// What happened, and in which step.
  public let description: String
  /// The step after which the network had become useless; nil if something else failed.
  public let step: Int?

  /// A failure that is not due to the network.
  package init(description: String) { (self.description, step) = (description, nil) }

  /// The network diverged in a step, as `symptom` shows.
  package init(divergedIn step: Int, _ symptom: String) {
    description =
      "step \(step): \(symptom); a smaller learning rate, warm-up or clipNorm may help"
    self.step = step
  }

  /// This failure, with advice added to its description.
  public func adding(_ remedy: String) -> TrainingFailure {
    TrainingFailure(description: "\(description); \(remedy)", step: step)
  }

  private init(description: String, step: Int?) {
    (self.description, self.step) = (description, step)
  }
}
