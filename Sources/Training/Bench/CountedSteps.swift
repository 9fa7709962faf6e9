import Measurement

extension TrainingRun {
  /// The steps of a turn that count in a comparison: all of a whole batch but the first, whose memory is
  /// cold.
  func counted(_ turn: some Collection<StepResult>) -> [StepResult] {
    turn.dropFirst().filter { $0.samples == wholeBatch }
  }
}

extension PairedSteps {
  /// Adds a variant's next turn: the steps that count.
  mutating func append(_ counted: [StepResult], of variant: Int) {
    append(
      counted.map {
        Step(milliseconds: Double($0.nanoseconds) / 1e6, disturbance: $0.disturbance)
      }, of: variant)
  }
}
