import LockstepConfiguration
import LockstepDatasets
import LockstepFiles
import LockstepNorms
public import LockstepPrediction
import LockstepRecording
import LockstepTraining

/// Reads run directories for predictions.
public enum PredictionSources {
  /// Reads runs of one network under several norms.
  ///
  /// With `courses` or a target, it also finds how long an epoch is and when each run reached the target.
  ///
  /// - Throws: ``RecordingError`` if a run has no events, or the runs differ in their network or in a rank's
  ///   number of samples; ``ConfigurationError`` if a configuration cannot be read, or no run reached the
  ///   target.
  public static func read(
    _ paths: [String], courses: Bool = false, targetLoss: Double? = nil
  ) throws -> [Prediction.Source] {
    let sources = try read(paths, courses: courses || targetLoss != nil, target: targetLoss)
    if let targetLoss, sources.allSatisfy({ $0.source.course?.stepsToTarget == nil }) {
      let lowest = sources.map(\.lowestLoss).min() ?? .infinity
      throw ConfigurationError(
        "--target-loss",
        "no run reached a loss of \(significant(targetLoss)); the lowest is "
          + "\(significant(lowest)), the mean of up to \(window) steps")
    }
    return sources.map(\.source)
  }

  /// How many steps' losses are averaged before they are compared with the target.
  private static let window = 10

  private static func read(_ paths: [String], courses: Bool, target: Double?) throws -> [(
    source: Prediction.Source, lowestLoss: Double
  )] {
    var first: (path: String, run: RunDescription, configuration: RunConfiguration?)?
    return try paths.map { path in
      let run = try RecordedRun(path: path)
      let ranks = run.headers.count
      let (described, configuration) = try RunDescription.read(run: path, ranks: ranks)
      let samples = described.samplesPerRank
      if let first {
        let isSame =
          if let model = configuration?.model, let other = first.configuration?.model {
            model.kind == other.kind && model.activation == other.activation
              && model.weightNorm == other.weightNorm
          } else {
            described.name == first.run.name
          }
        let problem: String? =
          if (configuration == nil) != (first.configuration == nil) {
            "of this run and \(first.path), one has a configuration and the other was recorded by a program"
          } else if !isSame {
            configuration == nil
              ? "it is called \(described.name), but \(first.path) is called \(first.run.name)"
              : "its network is another than \(first.path)'s"
          } else if samples != first.run.samplesPerRank {
            "another number of samples on a rank than \(first.path)'s (\(samples), not "
              + "\(first.run.samplesPerRank))"
          } else {
            try configuration.flatMap { try difference(of: $0, from: first) }
          }
        if let problem {
          throw RecordingError(path, "\(problem): compare runs that differ only in their norm")
        }
      } else {
        first = (path, described, configuration)
      }
      if let norm = configuration?.model.norm, norm.chosenMerge == .allGather {
        throw RecordingError(
          path,
          "was trained with norm.merge all-gather, whose cost on more ranks is not modelled; record it "
            + "with another merge")
      }
      let all = try RunMetrics(run: path)
      let metrics = all.steps
      let losses = means(metrics.map(\.loss))
      let epoch = metrics.filter { $0.epoch == 1 }.reduce(0.0) { $0 + Double($1.samples) }
      let isWhole = (metrics.last?.epoch ?? 1) > 1
      let course =
        courses
        ? TrainingCourse(
          epochSamples: isWhole ? epoch : try samplesOfEpoch(configuration, ranks: ranks, path),
          samplesPerRank: configuration.map {
            Double($0.globalBatch(ranks: ranks)) / Double(ranks)
          } ?? Double(samples),
          stepsToTarget: target.flatMap { target in
            losses.firstIndex { $0 <= target }.map { metrics[$0].step }
          }) : nil
      return (
        Prediction.Source(
          norm: described.norm, synchronizes: described.synchronizes,
          records: run.records,
          steps: all.usualSteps(of: run.records),
          course: course), losses.min() ?? .infinity
      )
    }
  }

  /// The first setting that changes a step's cost and is none of the norm's; nil if there is none.
  private static func difference(
    of configuration: RunConfiguration,
    from first: (path: String, run: RunDescription, configuration: RunConfiguration?)
  ) throws -> String? {
    guard let other = first.configuration else { return nil }
    let single = [
      "precision", "accumulate", "model.weightStandardization", "optimizer.kind", "clipNorm",
      "gradientNormalization", "parallel.gradients", "parallel.overlap", "parallel.bucketMegabytes",
      "parallel.firstBucketMegabytes",
    ]
    // Where the samples lie and how many there are is nothing to a step.
    let free = ["path", "samples", "holdOut", "trainShare", "files", "dropLast"].map {
      "data.\($0)"
    }
    let found = try RunConfiguration.differences([other, configuration]).first {
      single.contains($0.key) || ($0.key.hasPrefix("data.") && !free.contains($0.key))
    }
    return found.map {
      "its \($0.key) is \($0.values[1] ?? "not set"), and \(first.path)'s is \($0.values[0] ?? "not set")"
    }
  }

  /// How many samples an epoch has, for a run that has not seen all of them.
  private static func samplesOfEpoch(
    _ configuration: RunConfiguration?, ranks: Int, _ path: String
  ) throws -> Double {
    guard let configuration else {
      throw RecordingError(
        path, "was recorded without a configuration, so the length of an epoch is not known")
    }
    let count = try configuration.loadData().train.count
    let batch = configuration.globalBatch(ranks: ranks)
    return Double(configuration.data.dropLast ? count / batch * batch : count)
  }

  /// For each step, the mean loss over the last ``window`` steps up to it.
  private static func means(_ losses: [Double]) -> [Double] {
    losses.indices.map { step in
      let last = losses[max(0, step - window + 1)...step]
      return last.reduce(0, +) / Double(last.count)
    }
  }
}
