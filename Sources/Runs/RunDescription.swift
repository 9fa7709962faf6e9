import Foundation
package import LockstepConfiguration
import LockstepDataParallel
package import LockstepFiles
import LockstepModels
import LockstepNorms
public import LockstepTraining

/// What a run directory says about its run, whether it was trained from a configuration or recorded by your
/// own program.
public struct RunDescription: Codable, Hashable, Sendable {
  /// The run's name.
  public var name: String
  /// The kind of norm, or "none".
  public var norm: String
  /// Whether the norm takes its statistics over all ranks.
  public var synchronizes: Bool
  /// How many samples each rank computes in a step; 0 if that is not known.
  public var samplesPerRank: Int

  /// Describes a run.
  public init(name: String, norm: String, synchronizes: Bool, samplesPerRank: Int) {
    (self.name, self.norm) = (name, norm)
    (self.synchronizes, self.samplesPerRank) = (synchronizes, samplesPerRank)
  }

  /// Describes what a configuration trains on a given number of ranks.
  init(_ configuration: RunConfiguration, ranks: Int) {
    self.init(
      name: configuration.name, norm: configuration.model.normName,
      synchronizes: configuration.model.norm.synchronizes,
      samplesPerRank: configuration.globalBatch(ranks: ranks) / max(ranks, 1))
  }

  /// The file that a recorder writes the description into.
  package static let file = "recording.json"

  /// Reads the description of the run directory at `path`, and its configuration if it has one.
  ///
  /// - Throws: ``ConfigurationError`` if `path` is not a run directory, or is damaged.
  package static func read(run path: String, ranks: Int) throws(ConfigurationError) -> (
    description: RunDescription, configuration: RunConfiguration?
  ) {
    let file = "\(path)/\(Self.file)"
    guard let data = FileManager.default.contents(atPath: file) else {
      let configuration = try RunConfiguration(path: "\(path)/config.yaml")
      return (RunDescription(configuration, ranks: ranks), configuration)
    }
    guard let found = try? JSONDecoder().decode(RunDescription.self, from: data) else {
      throw ConfigurationError(file, "is damaged: it does not describe a recorded run")
    }
    return (found, nil)
  }
}

extension Trainer {
  /// Describes what is trained, for a ``Recorder``: its first norm, and this rank's share of a batch.
  public func description(name: String) -> RunDescription {
    RunDescription(
      name: name, norm: model.norms.first?.settings.kind.rawValue ?? "none",
      synchronizes: model.synchronizesStatistics,
      samplesPerRank: settings.batch.global(ranks: ranks.size) / ranks.size)
  }
}
