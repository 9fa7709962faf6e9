public import LockstepTraining

/// What a run's summary needs to know about its steps, in bounded memory.
public struct RunTally: Sendable {
  /// The newest steps; medians are taken over them.
  private var recent: [StepResult] = []
  private var epoch = 0
  private var loss = 0.0
  private var samples = 0
  /// How many steps there were.
  public private(set) var steps = 0
  /// How long they took together, in seconds.
  public private(set) var seconds = 0.0

  /// The number of newest steps that medians cover at least; all steps if there are fewer.
  public static let window = 10_000

  /// An empty tally.
  public init() {}

  /// A tally of some steps.
  public init(_ results: [StepResult]) {
    for result in results { append(result) }
  }

  /// Adds a step.
  public mutating func append(_ step: StepResult) {
    if recent.count == 2 * Self.window { recent.removeFirst(Self.window) }
    recent.append(step)
    if step.epoch != epoch { (epoch, loss, samples) = (step.epoch, 0, 0) }
    loss += step.loss * Double(step.samples)
    samples += step.samples
    steps += 1
    seconds += step.milliseconds / 1e3
  }

  /// The newest step; nil if there was none.
  var last: StepResult? { recent.last }

  /// Times and traffic of the newest steps.
  public var times: StepTimes { StepTimes([recent]) }

  /// The mean loss over the steps of the last epoch.
  public var finalLoss: Double { loss / Double(max(samples, 1)) }
}
