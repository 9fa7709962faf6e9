public import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// How gradients are scaled to length 1, so that only the learning rate sets the length of a step.
///
///     g ← g / ‖g‖
///
/// A gradient of 0 stays as it is, and so does one whose norm is too small for a float to hold its inverse.
///
/// "GradNorm" is also the name of a method that balances the losses of a network with several heads by
/// their gradients' norms (Chen et al., 2018, <https://arxiv.org/abs/1711.02257>). Models here have only
/// one head, so there is nothing to balance.
public enum GradientNormalization: String, CaseIterable, Hashable, Sendable {
  /// Gradients stay as they are.
  case none
  /// All gradients together as one vector (Hazan, Levy & Shalev-Shwartz, 2015,
  /// <https://arxiv.org/abs/1507.02030>).
  case global
  /// The gradients of each layer's parameters as one vector (Yu et al., 2017,
  /// <https://arxiv.org/abs/1707.04822>).
  case layer

  /// Normalizes the gradients of `parameters`, summed over all ranks, in place.
  ///
  /// Parameters belong to one layer if their names are the same up to the last dot, and end in the same number of
  /// an LSTM's layer if in any: `lstm.weight_ih_l1` and `lstm.weight_hh_l1`.
  public func apply(to gradients: [Tensor], of parameters: [Parameter]) {
    switch self {
    case .none: break
    case .global: Self.normalize(gradients)
    case .layer:
      let layers = Dictionary(grouping: parameters.indices) { index in
        let name = parameters[index].name
        let owner = name[..<(name.lastIndex(of: ".") ?? name.endIndex)]
        return owner + (name.firstMatch(of: /_l\d+$/)?.output ?? "")
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
