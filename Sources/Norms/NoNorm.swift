import LockstepAutograd

/// The identity: a network without norms.
///
/// - Communication: none.
struct NoNorm: Norm {
  static let kind = NormKind.none
  static let statistics = NormStatistics.none

  init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {}

  func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { x }
}

extension NormKind {
  /// The identity.
  public static let none: NormKind = "none"
}
