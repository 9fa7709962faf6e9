import Autograd
import Tensors

/// The learned gain γ, from 1, and bias β, from 0, of a norm, under PyTorch's names; or
/// constants where the norm is not affine.
struct Affine {
  let gain: Parameter?
  let bias: Parameter?
  private let ones: Tensor
  private let zeros: Tensor

  /// The two from 1 and 0; `isSummedByLayer` says whether the norm's own collective sums their gradients.
  init(
    _ name: String, channels: Int, affine: Bool, hasBias: Bool = true,
    isSummedByLayer: Bool = false
  ) {
    ones = .filled([channels], with: 1)
    zeros = .zeros([channels])
    gain =
      affine
      ? Parameter(
        "\(name).weight", .filled([channels], with: 1), isSummedByLayer: isSummedByLayer) : nil
    bias =
      affine && hasBias
      ? Parameter("\(name).bias", .zeros([channels]), isSummedByLayer: isSummedByLayer) : nil
  }

  var parameters: [Parameter] { [gain, bias].compactMap(\.self) }
  var gainValue: Tensor { gain?.value ?? ones }
  var biasValue: Tensor { bias?.value ?? zeros }
}
