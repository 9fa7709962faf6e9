public import Autograd
import Kernels

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
}
