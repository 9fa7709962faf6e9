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
  /// Batch norm corrected towards its running statistics.
  case batchRenorm = "batch-renorm"
  /// Layer norm.
  case layer
  /// RMS norm.
  case rms
  /// Group norm.
  case group
  /// Instance norm.
  case instance
  /// ScaleNorm: rows of one learned length.
  case scale
  /// Rows as unit vectors.
  case l2

  /// Whether the norm takes its statistics over a batch, and so keeps running statistics.
  public var usesBatchStatistics: Bool {
    self == .batch || self == .syncBatch || self == .batchRenorm
  }
}

/// The ranks that share a synchronized batch norm's statistics.
public enum StatisticsGroup: Hashable, Sendable {
  /// All ranks.
  case all
  /// The ranks of one node.
  case node
  /// So many consecutive ranks.
  case ranks(Int)
}

/// Whether weight gradients are computed while the statistics of a synchronized norm's backward pass are in
/// flight.
///
/// The bits are the same in all modes.
public enum StatisticsOverlap: String, CaseIterable, Sendable {
  /// As a run's first steps show to be faster.
  case automatic = "auto"
  /// Always.
  case on = "true"
  /// Never.
  case off = "false"
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
  /// Added to the variance; for scale and l2 norm the least length that divides.
  public var epsilon: Double = 1e-5
  /// The weight of a new batch in the running statistics; nil for the cumulative average.
  public var momentum: Double? = 0.1
  /// Whether a learned gain and bias follow.
  public var affine = true
  /// The number of channel groups of a group norm.
  public var groups = 8
  /// The ranks that share statistics.
  public var statisticsGroup = StatisticsGroup.all
  /// How ranks that share statistics agree on them.
  public var merge = StatisticsMerge.shiftedMoments
  /// Whether weight gradients are computed while the statistics of the backward pass are in flight.
  public var overlap = StatisticsOverlap.automatic
  /// Where ε stands, for layer and RMS norm.
  public var epsilonPlacement = EpsilonPlacement.inside
  /// Whether layer norm divides the variance by one less than the number of channels.
  public var unbiased = false
  /// Whether layer norm takes the mean and the variance for constants in its backward pass.
  public var detached = false
  /// Whether batch-renorm norm takes its statistics over all ranks' samples.
  public var synchronized = false
  /// Whether a norm with batch statistics leaves out the padding of sequences.
  public var masked = true
  /// The largest scale correction of a batch-renorm norm.
  public var maximumScale: Double = 3
  /// The largest shift correction of a batch-renorm norm, in running deviations.
  public var maximumShift: Double = 5

  /// The default settings of a kind.
  public init(_ kind: NormKind) { self.kind = kind }

  /// Whether the norm takes its statistics over the ranks of its statistics group.
  public var synchronizes: Bool { kind == .syncBatch || kind == .batchRenorm && synchronized }

  var rule: RowRule {
    RowRule(epsilon: Float(epsilon), outside: epsilonPlacement == .outside, unbiased: unbiased)
  }
}
