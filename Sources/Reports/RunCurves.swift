import LockstepRuns
import LockstepTraining

/// Loss and accuracy of a run over its steps, averaged so that a run of any length can be drawn.
public struct RunCurves: Codable, Hashable, Sendable {
  /// A point of a curve.
  public struct Point: Codable, Hashable, Sendable {
    /// The step; if the point is a mean, the last one of its steps.
    public let step: Int
    /// The loss.
    public let loss: Double
    /// The accuracy, from 0 to 1.
    public let accuracy: Double
  }

  /// How many steps are averaged in a point of the training curve.
  public let stepsPerPoint: Int
  /// The training batches.
  public let training: [Point]
  /// The test set.
  public let test: [Point]

  private enum CodingKeys: String, CodingKey {
    case training, test
    case stepsPerPoint = "steps_per_point"
  }

  /// The largest number of points in a training curve.
  static let most = 400

  init(_ metrics: RunMetrics) {
    let steps = metrics.steps
    let size = max(1, (steps.count + Self.most - 1) / Self.most)
    stepsPerPoint = size
    training = stride(from: 0, to: steps.count, by: size).map { first in
      let part = steps[first..<min(first + size, steps.count)]
      let count = Double(part.count)
      return Point(
        step: part.last?.step ?? 0, loss: part.reduce(0) { $0 + $1.loss } / count,
        accuracy: part.reduce(0) { $0 + $1.accuracy } / count)
    }
    test = metrics.evaluations.map {
      Point(step: $0.step, loss: $0.loss, accuracy: $0.accuracy)
    }
  }
}
