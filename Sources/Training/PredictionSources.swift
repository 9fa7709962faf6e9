import Datasets
import Files
public import Measurement
import Norms

/// Run directories to predict from.
public enum PredictionSources {
  /// Reads runs of one network under several norms; with `courses`, also how their losses fell, towards the
  /// target loss if there is one.
  ///
  /// - Throws: ``RecordingError`` if one has no events, or they are not runs of one network on as many
  ///   samples; ``ConfigurationError`` if its configuration cannot be read, or no run reached the target.
  public static func read(
    _ paths: [String], courses: Bool = false, targetLoss: Double? = nil
  ) throws -> [Prediction.Source] {
    let sources = try read(paths, courses: courses || targetLoss != nil, target: targetLoss)
    if let targetLoss, sources.allSatisfy({ $0.source.course?.stepsToTarget == nil }) {
      let lowest = sources.map(\.lowestLoss).min() ?? .infinity
      throw ConfigurationError(
        "--target-loss",
        "no run reached a loss of \(significant(targetLoss)); the lowest is "
          + "\(significant(lowest)), the mean of \(window) steps")
    }
    return sources.map(\.source)
  }

  /// Losses are means over so many steps.
  private static let window = 10

  private static func read(_ paths: [String], courses: Bool, target: Double?) throws -> [(
    source: Prediction.Source, lowestLoss: Double
  )] {
    var first: (path: String, configuration: RunConfiguration, samples: Int)?
    return try paths.map { path in
      let run = try RecordedRun(path: path)
      let configuration = try RunConfiguration(path: "\(path)/config.yaml", set: [])
      let ranks = run.headers.count
      let samples = configuration.globalBatch(ranks: ranks) / ranks
      if let first {
        let (model, other) = (configuration.model, first.configuration.model)
        guard model.kind == other.kind, model.activation == other.activation,
          model.weightNorm == other.weightNorm, samples == first.samples
        else {
          throw RecordingError(
            path,
            "another network than \(first.path)'s, or another number of samples a rank (\(samples), "
              + "not \(first.samples)): compare runs that differ in their norm alone")
        }
      } else {
        first = (path, configuration, samples)
      }
      let norm = configuration.model.norm
      guard !norm.synchronizes || norm.merge != .allGather else {
        throw RecordingError(
          path,
          "was trained with norm.merge all-gather, whose cost on more ranks is not modelled; record it "
            + "with another merge")
      }
      let metrics = try RunMetrics(run: path).steps
      let whole = metrics.map(\.samples).max()
      let losses = means(metrics.map(\.loss))
      let epoch = metrics.filter { $0.epoch == 1 }.reduce(0.0) { $0 + Double($1.samples) }
      let isWhole = (metrics.last?.epoch ?? 1) > 1
      let course =
        courses
        ? TrainingCourse(
          epochSamples: isWhole ? epoch : Double(try configuration.loadData().train.count),
          samplesPerRank: Double(configuration.globalBatch(ranks: ranks)) / Double(ranks),
          stepsToTarget: target.flatMap { target in
            losses.firstIndex { $0 <= target }.map { metrics[$0].step }
          }) : nil
      return (
        Prediction.Source(
          norm: configuration.model.normName, synchronizes: norm.synchronizes,
          records: run.records,
          steps: Set(metrics.filter { $0.samples == whole }.map(\.step)),
          course: course), losses.min() ?? .infinity
      )
    }
  }

  /// The mean of each step's loss and those before it.
  private static func means(_ losses: [Double]) -> [Double] {
    losses.indices.map { step in
      let last = losses[max(0, step - window + 1)...step]
      return last.reduce(0, +) / Double(last.count)
    }
  }
}
