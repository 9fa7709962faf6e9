import LockstepTensors

/// When a convolution is computed by Winograd's algorithm F(4×4, 3×3).
///
/// It cuts images into tiles of 4×4 outputs, transforms them and the weights, and multiplies 36 numbers for a
/// tile, an input and an output channel where the direct algorithm multiplies 144. Its rounding error is about
/// twice the direct algorithm's. `LOCKSTEP_WINOGRAD=off` turns it off.
///
/// Source: Lavin & Gray, 2015, section 4, <https://arxiv.org/abs/1509.09308>.
package enum WinogradAlgorithm {
  /// Whether it may be used.
  package static let isUsed = Kernel.environment("LOCKSTEP_WINOGRAD") != "off"

  /// Whether it is expected to take less time, given that oneDNN has it.
  ///
  /// With few channels the products are small and slow, and transforming the weights takes as long for few tiles as
  /// for many. An image of one tile gains nothing.
  ///
  /// The choice depends on the geometry alone, so that a run repeated gives the same bits. One rank with a whole
  /// batch may choose otherwise than many with shares of it, which are then apart by rounding errors.
  package static func suits(_ geometry: ConvolutionGeometry, isWeightGradient: Bool) -> Bool {
    let (weights, output) = (geometry.weights, geometry.output)
    guard isUsed, geometry.precision == .float32, geometry.stride == 1, geometry.padding == 1,
      weights[2] == 3, weights[3] == 3, min(output[1], output[2]) > 4
    else { return false }
    let tiles = output[0] * ((output[1] + 3) / 4) * ((output[2] + 3) / 4)
    let channels = min(weights[0], weights[1])
    // The fraction of the tiles' outputs that lie inside of the images.
    let share = Double(output[0] * output[1] * output[2]) / Double(16 * tiles)
    return tiles >= 64 && tiles * channels >= 4096
      && Double(channels) * share >= (isWeightGradient ? 64 : 32)
  }
}
