public import Measurement
import Norms

/// Run directories to predict from.
public enum PredictionSources {
  /// Reads runs of one network under several norms.
  ///
  /// - Throws: ``RecordingError`` if one has no events, or they are not runs of one network on as many
  ///   samples; ``ConfigurationError`` if its configuration cannot be read.
  public static func read(_ paths: [String]) throws -> [Prediction.Source] {
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
      return Prediction.Source(
        norm: configuration.model.normName, synchronizes: norm.synchronizes, records: run.records,
        steps: Set(metrics.filter { $0.samples == whole }.map(\.step)))
    }
  }
}
