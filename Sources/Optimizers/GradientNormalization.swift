public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// Gradients of length 1, so that the learning rate alone is the length of a step.
///
///     g ← g / ‖g‖
///
/// A gradient that is 0, or too small for a float to hold its inverse, stays as it is.
///
/// "GradNorm" is also the name of a method that balances the losses of a network with several heads by
/// their gradients' norms (Chen et al., 2018, <https://arxiv.org/abs/1711.02257>). No model here has
/// more than one head, so that there is nothing to balance.
public enum GradientNormalization: String, CaseIterable, Hashable, Sendable {
  /// Gradients as they are.
  case none
  /// All gradients together as one vector (Hazan, Levy & Shalev-Shwartz, 2015,
  /// <https://arxiv.org/abs/1507.02030>).
  case global
  /// The gradients of each layer's parameters as one vector (Yu et al., 2017,
  /// <https://arxiv.org/abs/1707.04822>).
  case layer

  /// Normalizes `gradients`, those of `parameters` summed over all ranks, in place.
  ///
  /// A layer's parameters are those whose names differ only after the last dot.
  public func apply(to gradients: [Tensor], of parameters: [Parameter]) {
    switch self {
    case .none: break
    case .global: Self.normalize(gradients)
    case .layer:
      let layers = Dictionary(grouping: parameters.indices) { index in
        let name = parameters[index].name
        return name[..<(name.lastIndex(of: ".") ?? name.endIndex)]
      }
      for indices in layers.values { Self.normalize(indices.map { gradients[$0] }) }
    }
  }

  private static func normalize(_ gradients: [Tensor]) {
    let norm = gradients.reduce(0) { $0 + Kernel.sumOfSquares($1) }.squareRoot()
    guard norm >= Double(Float.leastNormalMagnitude), norm.isFinite else { return }
    for gradient in gradients { Kernel.scale(gradient, by: Float(1 / norm)) }
  }
}
