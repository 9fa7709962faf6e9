import KernelLoops
import Kernels

/// The norms of the `norm.kind` setting.
public enum NormKind: String, CaseIterable, Sendable {
  /// The identity.
  case none
  /// Batch norm over this rank's samples.
  case batch
  /// Batch norm over all ranks' samples.
  case syncBatch = "sync-batch"
  /// Layer norm.
  case layer
  /// RMS norm.
  case rms
  /// Group norm.
  case group
  /// Instance norm.
  case instance

  /// Whether the norm takes its statistics over a batch, and so keeps running statistics.
  public var usesBatchStatistics: Bool { self == .batch || self == .syncBatch }
}

/// The ranks that share a sync-batch norm's statistics.
public enum StatisticsGroup: Hashable, Sendable {
  /// All ranks.
  case all
  /// The ranks of one node.
  case node
  /// So many consecutive ranks.
  case ranks(Int)
}

/// Where ε stands in a row norm.
public enum EpsilonPlacement: String, CaseIterable, Sendable {
  /// Under the root, beside the variance.
  case inside
  /// Beside the root.
  case outside
}

/// Which norm, and its settings; what a kind does not know is ignored by it.
public struct NormSettings: Hashable, Sendable {
  /// Which norm.
  public var kind: NormKind
  /// Added to the variance.
  public var epsilon: Double = 1e-5
  /// The weight of a new batch in the running statistics; nil for the cumulative average.
  public var momentum: Double? = 0.1
  /// Whether a learned gain and bias follow.
  public var affine = true
  /// The number of channel groups of a group norm.
  public var groups = 8
  /// The ranks that share statistics.
  public var statisticsGroup = StatisticsGroup.all
  /// Where ε stands, for layer and RMS norm.
  public var epsilonPlacement = EpsilonPlacement.inside
  /// Whether layer norm divides the variance by one less than the number of channels.
  public var unbiased = false

  /// The default settings of a kind.
  public init(_ kind: NormKind) { self.kind = kind }

  var rule: RowRule {
    RowRule(epsilon: Float(epsilon), outside: epsilonPlacement == .outside, unbiased: unbiased)
  }
}
