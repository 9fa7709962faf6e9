import LockstepTensors

/// The largest difference between two tensors over the largest magnitude of the first; infinite if the second
/// has values that are not finite.
func relativeChange(of original: Tensor, to changed: Tensor) -> Double {
  let (a, b) = (original.elements, changed.elements)
  guard b.allSatisfy(\.isFinite) else { return .infinity }
  let largest = a.reduce(0) { max($0, abs($1)) }
  let difference = zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
  return Double(difference) / Double(max(largest, .leastNormalMagnitude))
}

extension Verdict {
  /// Judges from the relative changes of a function's output whether it is `invariant` as claimed.
  ///
  /// Rounding explains changes up to 10⁻⁴; only a different function explains changes of 10⁻² or more. Holds
  /// if all changes are on the claimed side, fails if all are on the other side, else undecided.
  init(invariant: Bool, changes: [Double]) {
    let rounding = changes.allSatisfy { $0 <= 1e-4 }
    let real = changes.allSatisfy { $0 >= 1e-2 }
    self = rounding == real ? .undecided : Verdict(rounding == invariant)
  }
}
