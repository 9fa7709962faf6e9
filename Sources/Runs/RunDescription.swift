import Foundation
package import LockstepConfiguration
import LockstepDataParallel
package import LockstepFiles
import LockstepModels
import LockstepNorms
public import LockstepTraining

/// What a run directory says of its run, whether a configuration trained it or a program of one's own
/// recorded it.
public struct RunDescription: Codable, Hashable, Sendable {
  /// The run's name.
  public var name: String
  /// The kind of norm, "none" where there is none.
  public var norm: String
  /// Whether the norm takes its statistics over all ranks.
  public var synchronizes: Bool
  /// How many samples each rank computes in a step; 0 where it is not said.
  public var samplesPerRank: Int

  /// Describes a run.
  public init(name: String, norm: String, synchronizes: Bool, samplesPerRank: Int) {
    (self.name, self.norm) = (name, norm)
    (self.synchronizes, self.samplesPerRank) = (synchronizes, samplesPerRank)
  }

  /// The description of what a configuration trains on a given number of ranks.
  init(_ configuration: RunConfiguration, ranks: Int) {
    self.init(
      name: configuration.name, norm: configuration.model.normName,
      synchronizes: configuration.model.norm.synchronizes,
      samplesPerRank: configuration.globalBatch(ranks: ranks) / max(ranks, 1))
  }

  /// Where a recorder writes it.
  package static let file = "recording.json"

  /// Reads what the run directory at `path` says, with its configuration where it has one.
  ///
  /// - Throws: ``ConfigurationError`` if it is none, or damaged.
  package static func read(run path: String, ranks: Int) throws(ConfigurationError) -> (
    description: RunDescription, configuration: RunConfiguration?
  ) {
    let file = "\(path)/\(Self.file)"
    guard let data = FileManager.default.contents(atPath: file) else {
      let configuration = try RunConfiguration(path: "\(path)/config.yaml")
      return (RunDescription(configuration, ranks: ranks), configuration)
    }
    guard let found = try? JSONDecoder().decode(RunDescription.self, from: data) else {
      throw ConfigurationError(file, "is damaged: no description of a recorded run")
    }
    return (found, nil)
  }
}

extension Trainer {
  /// What is trained, for a ``Recorder``: by its first norm and its share of a batch.
  public func description(name: String) -> RunDescription {
    RunDescription(
      name: name, norm: model.norms.first?.settings.kind.rawValue ?? "none",
      synchronizes: model.synchronizesStatistics,
      samplesPerRank: settings.batch.global(ranks: ranks.size) / ranks.size)
  }
}
