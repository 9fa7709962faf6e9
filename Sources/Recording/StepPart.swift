/// The names under which a step records what it computes outside of layers with parameters.
public enum StepPart {
  /// Dealing and copying the samples.
  public static let data = "data"
  /// The loss, and its gradient.
  public static let loss = "loss"
  /// Activations, sums, pooling, and norms without parameters.
  public static let unnamed = "layers without a name"
  /// Completing the gradient buckets.
  public static let buckets = "gradient buckets"
  /// Clipping and the update.
  public static let optimizer = "optimizer"
}
