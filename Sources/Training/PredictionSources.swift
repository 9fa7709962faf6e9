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
        var model = configuration.model
        model.norm = first.configuration.model.norm
        guard model.kind == first.configuration.model.kind, samples == first.samples else {
          throw RecordingError(
            path,
            "another network than \(first.path)'s, or another number of samples a rank (\(samples), "
              + "not \(first.samples)): compare runs that differ in their norm alone")
        }
      } else {
        first = (path, configuration, samples)
      }
      return Prediction.Source(
        norm: configuration.model.normName, synchronizes: configuration.model.norm.synchronizes,
        records: run.records)
    }
  }
}
