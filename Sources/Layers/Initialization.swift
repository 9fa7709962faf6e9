public import LockstepTensors

/// Initial values, drawn element by element from one stream a parameter.
extension Tensor {
  /// Uniform in `-bound ..< bound`.
  public static func uniform(_ shape: Shape, _ bound: Float, using random: inout RandomStream)
    -> Tensor
  {
    Tensor((0..<shape.count).map { _ in (2 * random.uniform() - 1) * bound }, shape: shape)
  }

  /// Normal with mean 0.
  public static func normal(
    _ shape: Shape, standardDeviation: Float, using random: inout RandomStream
  ) -> Tensor {
    Tensor((0..<shape.count).map { _ in random.normal() * standardDeviation }, shape: shape)
  }
}
