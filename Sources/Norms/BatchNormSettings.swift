// How statistics are agreed on is part of what a norm is set to.
@_exported public import LockstepStatistics

/// The ranks that share a synchronized batch norm's statistics.
public enum StatisticsGroup: Hashable, Sendable {
  /// All ranks.
  case all
  /// The ranks of one node.
  case node
  /// A number of consecutive ranks.
  case ranks(Int)
}

extension StatisticsGroup: NormSettingValue {
  /// "all", "node" or a number of ranks.
  public init?(text: String?) {
    switch text {
    case "all": self = .all
    case "node": self = .node
    default:
      guard let ranks = text.flatMap({ Int($0) }), ranks > 0 else { return nil }
      self = .ranks(ranks)
    }
  }

  /// "all", "node" or the number of ranks.
  public var text: String {
    switch self {
    case .all: "all"
    case .node: "node"
    case .ranks(let count): "\(count)"
    }
  }
}

/// Whether weight gradients are computed while the statistics of a synchronized norm's backward pass are in
/// flight.
///
/// The bits are the same in all modes.
public enum StatisticsOverlap: String, CaseIterable, NormSettingValue {
  /// As a run's first steps show to be faster.
  case automatic = "auto"
  /// Always.
  case on = "true"
  /// Never.
  case off = "false"
}

extension StatisticsMerge: NormSettingValue {}

extension NormSetting where Value == Double? {
  /// The weight of a new batch in the running statistics; null for the cumulative average.
  public static let momentum = NormSetting("momentum", default: 0.1, in: 0...1)
}

extension NormSetting where Value == StatisticsGroup {
  /// The ranks that share statistics.
  public static let statisticsGroup = NormSetting(
    "statisticsGroup", default: .all, expected: "all, node or a number of ranks")
}

extension NormSetting where Value == StatisticsMerge {
  /// How ranks that share statistics agree on them.
  public static let merge = NormSetting("merge", default: .shiftedMoments)
}

extension NormSetting where Value == StatisticsOverlap {
  /// Whether weight gradients are computed while the statistics of the backward pass are in flight.
  public static let overlap = NormSetting("overlap", default: .automatic)
}

extension NormSetting where Value == Bool {
  /// Whether a norm with batch statistics leaves out the padding of sequences.
  public static let masked = NormSetting("masked", default: true)
}

extension NormSettings {
  /// The weight of a new batch in the running statistics; nil for the cumulative average.
  public var momentum: Double? {
    get { self[.momentum] }
    set { self[.momentum] = newValue }
  }

  /// The ranks that share statistics.
  public var statisticsGroup: StatisticsGroup {
    get { self[.statisticsGroup] }
    set { self[.statisticsGroup] = newValue }
  }

  /// How ranks that share statistics agree on them.
  public var merge: StatisticsMerge {
    get { self[.merge] }
    set { self[.merge] = newValue }
  }

  /// How ranks merge their statistics; nil for a norm that does not, or has no choice.
  public var chosenMerge: StatisticsMerge? {
    synchronizes && norm.settings.contains { $0.name == NormSetting.merge.name } ? merge : nil
  }

  /// Whether weight gradients are computed while the statistics of the backward pass are in flight.
  public var overlap: StatisticsOverlap {
    get { self[.overlap] }
    set { self[.overlap] = newValue }
  }

  /// Whether a norm with batch statistics leaves out the padding of sequences.
  public var masked: Bool {
    get { self[.masked] }
    set { self[.masked] = newValue }
  }
}
