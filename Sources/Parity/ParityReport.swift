/// The result of replaying another framework's cases.
public struct ParityReport: Codable, Sendable {
  /// One case.
  public struct Case: Codable, Sendable {
    /// The case's name.
    public let name: String
    /// The layer's kind, or the norm of a trajectory.
    public let layer: String
    /// Whether every error is within its tolerance.
    public let passed: Bool
    /// The largest error that passes.
    public let tolerance: Double
    /// The tolerances of tensors that differ from ``tolerance``, by tensor.
    public let tolerances: [String: Double]?
    /// The error of each tensor, max |a − b| / max(1, max |b|).
    public let errors: [String: Double]

    init(
      name: String, layer: String, tolerance: Double, tolerances: [String: Double]? = nil,
      errors: [String: Double]
    ) {
      self.name = name
      self.layer = layer
      self.tolerance = tolerance
      self.tolerances = tolerances
      self.errors = errors
      passed =
        !errors.isEmpty
        && errors.allSatisfy { $0.value <= tolerances?[$0.key] ?? tolerance }
    }
  }

  /// The number of ranks.
  public let ranks: Int
  /// All cases, in the files' order.
  public let cases: [Case]
  /// The number of cases that did not pass.
  public let failed: Int

  init(ranks: Int, cases: [Case]) {
    self.ranks = ranks
    self.cases = cases
    failed = cases.filter { !$0.passed }.count
  }
}

/// The error max |a − b| / max(1, max |b|); huge if a is not finite or has another number of elements.
func parityError(_ a: [Float], _ b: [Float]) -> Double {
  guard a.count == b.count else { return .greatestFiniteMagnitude }
  var (difference, size) = (0.0, 1.0)
  for (x, y) in zip(a, b) {
    let d = abs(Double(x) - Double(y))
    guard d.isFinite else { return .greatestFiniteMagnitude }
    difference = max(difference, d)
    size = max(size, abs(Double(y)))
  }
  return difference / size
}
