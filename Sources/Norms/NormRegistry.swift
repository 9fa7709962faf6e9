public import LockstepAutograd
public import LockstepFiles
import Synchronization

/// The norms that configurations, commands and reports know.
public enum NormRegistry {
  /// The norms of this package, in the order in which they are listed.
  public static let builtIn: [any Norm.Type] = [
    NoNorm.self,
    PerRankBatchNorm.self,
    SyncBatchNorm.self,
    BatchRenormLayer.self,
    Whitening.Module.self,
    LayerNorm.Module.self,
    RMSNorm.Module.self,
    GroupNorm.Module.self,
    InstanceNorm.Module.self,
    ScaleNorm.Module.self,
    DynamicTanh.Module.self,
    L2Norm.Module.self,
  ]

  private static let registered = Mutex<[any Norm.Type]>(builtIn)

  /// Adds a norm, so that its kind may stand in a configuration.
  ///
  /// - Throws: ``NormRegistryError`` where the kind is taken, is no name, or a setting means something else to
  ///   another norm.
  public static func register(_ norm: any Norm.Type) throws(NormRegistryError) {
    let name = norm.kind.rawValue
    let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x2c }
    guard isName else {
      throw NormRegistryError("\"\(name)\" is no name for a norm: use letters, digits and hyphens")
    }
    let problem = registered.withLock { norms -> String? in
      if let other = norms.first(where: { $0.kind == norm.kind }) {
        return "norm \"\(name)\" is registered twice: as \(other) and as \(norm)"
      }
      for setting in norm.settings {
        let known = norms.flatMap { $0.settings } + norm.settings
        let others = known.filter { $0.name == setting.name }
        if setting.name == "kind" || others.contains(where: { !isSame($0, as: setting) }) {
          return "setting \"\(setting.name)\" of norm \"\(name)\" means something else already"
        }
      }
      norms.append(norm)
      return nil
    }
    if let problem { throw NormRegistryError(problem) }
  }

  /// Whether two descriptions of one name mean the same: one type, one range, one default.
  private static func isSame(
    _ setting: any NormSettingDescription, as other: any NormSettingDescription
  ) -> Bool {
    let settings = NormSettings(.none)
    return type(of: setting) == type(of: other) && setting.expected == other.expected
      && setting.text(in: settings) == other.text(in: settings)
  }

  /// All norms, in the order in which they were registered.
  public static var norms: [any Norm.Type] { registered.withLock { $0 } }

  /// The kinds of all norms.
  public static var kinds: [NormKind] { norms.map { $0.kind } }

  /// The names of all norms.
  public static var names: [String] { kinds.map(\.rawValue) }

  /// The names of all norms, by what they communicate.
  public static var namesByTraffic: String {
    NormTraffic.allCases.compactMap { traffic in
      let names = norms.filter { $0.traffic == traffic }.map { $0.kind.rawValue }
      return names.isEmpty ? nil : "\(traffic.rawValue): \(names.joined(separator: ", "))"
    }.joined(separator: "; ")
  }

  /// The norm of a kind; nil where there is none.
  public static subscript(kind: NormKind) -> (any Norm.Type)? { norms.first { $0.kind == kind } }

  /// The settings of all norms, each once.
  public static var settings: [any NormSettingDescription] {
    var known: Set<String> = []
    return norms.flatMap { $0.settings }.filter { known.insert($0.name).inserted }
  }
}

/// A norm that cannot be registered.
public struct NormRegistryError: ProgramError, Hashable, Sendable {
  /// Every rank throws it.
  public var isSharedByAllRanks: Bool { true }

  /// What is wrong.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// Makes the norm that `settings` describe, in a place of a model.
///
/// The kind has to be registered.
public func makeNorm(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope = NormScope())
  -> any Layer
{
  let norm = settings.norm.init(site, settings, scope)
  if settings.kind == .batch, settings.ghostBatch > 0 {
    return GhostBatches(norm: norm, size: settings.ghostBatch)
  }
  return settings.masked && settings.usesBatchStatistics ? MaskedRows(norm: norm) : norm
}
