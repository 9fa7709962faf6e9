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

  /// factor · x.
  public func scale(_ x: Variable, by factor: Float) -> Variable {
    func scaled(_ x: Tensor) -> Tensor {
      let y = x.copy()
      Kernel.scale(y, by: factor)
      return y
    }
    return record(
      scaled(x.value),
      inputPullback: { [gradient = x.gradient] dy, _ in gradient?.add(scaled(dy)) })
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
