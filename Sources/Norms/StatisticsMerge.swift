/// How ranks agree on a batch's moments.
public enum StatisticsMerge: String, CaseIterable, Sendable {
  /// One all-reduce of [Σ (x − K), Σ (x − K)², n] in float64, K the running mean: 2·C + 1 numbers.
  case shiftedMoments = "shifted-moments"
  /// One all-reduce of (n, μ, M₂) a channel by Chan's merge, as a reduction of its own: 3·C float64.
  case welford
  /// One all-gather of (n, μ, M₂) a channel, merged on every rank in rank order: 3·C float64.
  case allGather = "all-gather"
  /// Two all-reduces: [Σ (x − K), n], then Σ (x − μ)² about the mean of all ranks.
  case twoPass = "two-pass"
  /// As ``shiftedMoments``, in float32 and half the bytes, backward too.
  case float32Moments = "float32-moments"
}
