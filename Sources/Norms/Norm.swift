public import LockstepAutograd

/// A norm that a model can be built with, as a configuration names it.
///
/// A norm is one value: its name, its settings, over what it takes statistics, what shapes it accepts, and
/// its layer. One that is registered in ``NormRegistry`` is known to every command and report.
public protocol Norm: Layer, SendableMetatype {
  /// The norm's name in a configuration.
  static var kind: NormKind { get }
  /// Over what it takes its statistics.
  static var statistics: NormStatistics { get }
  /// The settings that it has; a configuration may give those of other norms too, which ignore them.
  static var settings: [any NormSettingDescription] { get }
  /// Whether it takes its statistics over the ranks of a statistics group, by these settings.
  static func synchronizes(_ settings: NormSettings) -> Bool
  /// What its layer communicates in a step of training, by its default settings.
  static var traffic: NormTraffic { get }
  /// What is wrong with the norm in this place; nil where nothing is.
  static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem?
  /// What is wrong with statistics over so many rows, a batch's samples times their positions; nil where
  /// nothing is.
  static func problem(at site: NormSite, _ settings: NormSettings, rows: Int) -> NormProblem?
  /// Makes the norm's layer in this place.
  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope)
}

extension Norm {
  /// No settings unless the norm says so.
  public static var settings: [any NormSettingDescription] { [] }
  /// Statistics of this rank alone unless the norm says otherwise.
  public static func synchronizes(_ settings: NormSettings) -> Bool { false }
  /// Nothing unless the norm says so.
  public static var traffic: NormTraffic { .nothing }
  /// Nothing unless the norm says so.
  public static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? { nil }
  /// One row has no variance.
  public static func problem(at site: NormSite, _ settings: NormSettings, rows: Int) -> NormProblem?
  {
    rows == 1 ? NormProblem("one value a channel has no variance") : nil
  }
}

/// Over what a norm takes its statistics.
public enum NormStatistics: Hashable, Sendable {
  /// It takes none.
  case none
  /// The channels of one position.
  case channels
  /// One sample's positions, by channel or by groups of channels.
  case sample
  /// A batch: training and evaluation differ, and running statistics are kept.
  case batch
}

/// What a norm's layer communicates in a step of training.
public enum NormTraffic: String, CaseIterable, Sendable {
  /// Nothing.
  case nothing
  /// Sums by channel, once forward and once backward.
  case twice = "twice a layer a step"
  /// More than a few numbers a channel.
  case more = "more than that"
}

/// A place in a model where a norm stands.
public struct NormSite: Hashable, Sendable {
  /// The norm's name, its prefix in a state dictionary.
  public let name: String
  /// The channels of its input.
  public let channels: Int
  /// How many positions a sample has there: 1 where activations are `[N, C]`; nil where it is not known.
  public let positions: Int?

  /// A place.
  public init(_ name: String, channels: Int, positions: Int? = nil) {
    (self.name, self.channels, self.positions) = (name, channels, positions)
  }

  /// The norm's name as steps record it.
  public var layerName: LayerName { LayerName(name, isNorm: true) }
}

/// What the norms of one model have in common.
public struct NormScope {
  /// The ranks over which a synchronized norm takes its statistics.
  public let synchronized: StatisticsScope
  /// The parameters that the model's norms share; nil for a norm by itself.
  public let shared: SharedParameters?

  /// Describes what norms have in common.
  public init(synchronized: StatisticsScope = .thisRank, shared: SharedParameters? = nil) {
    (self.synchronized, self.shared) = (synchronized, shared)
  }
}

/// Parameters that several layers of one model share, by name.
public final class SharedParameters {
  private var parameters: [String: Parameter] = [:]

  /// No parameters.
  public init() {}

  /// The parameter of a name, which the first layer that asks for it makes.
  public func parameter(_ name: String, _ make: () -> Parameter) -> Parameter {
    if let known = parameters[name] { return known }
    let made = make()
    parameters[name] = made
    return made
  }
}

/// Why a norm cannot stand in a place.
public struct NormProblem: Hashable, Sendable {
  /// What is wrong, in words.
  public let text: String
  /// The setting that makes it so; nil where the norm's kind does.
  public let setting: String?
  /// Whether the norm can be trained all the same, and it is enough to say so.
  public let isWarning: Bool

  /// Describes a problem.
  public init(_ text: String, setting: String? = nil, isWarning: Bool = false) {
    (self.text, self.setting, self.isWarning) = (text, setting, isWarning)
  }
}
