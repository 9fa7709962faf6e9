import LockstepTensors

/// The largest difference between two tensors over the largest magnitude of the first; infinite where
/// the second holds anything but numbers.
func relativeChange(of original: Tensor, to changed: Tensor) -> Double {
  let (a, b) = (original.elements, changed.elements)
  guard b.allSatisfy(\.isFinite) else { return .infinity }
  let largest = a.reduce(0) { max($0, abs($1)) }
  let difference = zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
  return Double(difference) / Double(max(largest, .leastNormalMagnitude))
}

extension Verdict {
  /// Whether a function is as `invariant` as is said, from its output's relative changes: at most
  /// 10⁻⁴, which rounding explains, or at least 10⁻², which nothing but another function explains.
  ///
  /// Holds if all are on the side that is said, fails if all are on the other, else undecided.
  init(invariant: Bool, changes: [Double]) {
    let rounding = changes.allSatisfy { $0 <= 1e-4 }
    let real = changes.allSatisfy { $0 >= 1e-2 }
    self = rounding == real ? .undecided : Verdict(rounding == invariant)
  }
}
