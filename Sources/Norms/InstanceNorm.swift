import Kernels
public import Tensors

/// Instance normalization: each channel of each sample by itself.
///
///     y = γ · (x − μ) / √(v + ε) + β
///
/// with μ and v over the positions of one channel of one sample: a ``GroupNorm`` whose groups are
/// single channels.
///
/// - Shapes: x and y `[N, positions…, C]` with two positions or more, γ and β `[C]`.
/// - Communication: none.
/// - Source: Ulyanov, Vedaldi & Lempitsky, 2016, eq. 2, <https://arxiv.org/abs/1607.08022>.
public enum InstanceNorm {
  /// y of x.
  public static func forward(_ x: Tensor, gain: Tensor, bias: Tensor, epsilon: Double) -> (
    y: Tensor, saved: GroupNorm.Saved
  ) {
    GroupNorm.forward(x, groups: x.shape.channels, gain: gain, bias: bias, epsilon: epsilon)
  }

  /// The gradients, as ``GroupNorm/backward(_:gain:saved:overwriting:)`` has them.
  public static func backward(
    _ dy: Tensor, gain: Tensor, saved: GroupNorm.Saved, overwriting: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    GroupNorm.backward(dy, gain: gain, saved: saved, overwriting: overwriting)
  }
}
