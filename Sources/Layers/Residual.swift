public import LockstepAutograd
import LockstepKernels
import LockstepTensors

extension Tape {
  /// a + b, element by element.
  public func add(_ a: Variable, _ b: Variable) -> Variable {
    record(
      Kernel.add(a.value, b.value),
      inputPullback: { [a = a.gradient, b = b.gradient] dy, _ in
        a?.add(dy)
        b?.add(dy)
      })
  }

  /// a − b, element by element.
  public func subtract(_ a: Variable, _ b: Variable) -> Variable {
    func negated(_ x: Tensor) -> Tensor {
      let y = x.copy()
      Kernel.scale(y, by: -1)
      return y
    }
    return record(
      Kernel.add(a.value, negated(b.value)),
      inputPullback: { [a = a.gradient, b = b.gradient] dy, _ in
        a?.add(dy)
        b?.add(negated(dy))
      })
  }
}
