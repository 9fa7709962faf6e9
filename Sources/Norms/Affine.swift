public import LockstepAutograd
public import LockstepTensors

/// The learned gain γ, from 1, and bias β, from 0, of a norm, under PyTorch's names; or
/// constants where the norm is not affine.
public struct Affine {
  /// γ `[C]`; nil where it is 1.
  public let gain: Parameter?
  /// β `[C]`; nil where it is 0.
  public let bias: Parameter?
  private let ones: Tensor
  private let zeros: Tensor

  /// The two from 1 and 0; `isSummedByLayer` says whether the norm's own collective sums their gradients.
  public init(
    _ site: NormSite, affine: Bool = true, hasBias: Bool = true, isSummedByLayer: Bool = false
  ) {
    let channels = site.channels
    ones = .filled([channels], with: 1)
    zeros = .zeros([channels])
    gain =
      affine
      ? Parameter(
        "\(site.name).weight", .filled([channels], with: 1), isSummedByLayer: isSummedByLayer)
      : nil
    bias =
      affine && hasBias
      ? Parameter("\(site.name).bias", .zeros([channels]), isSummedByLayer: isSummedByLayer) : nil
  }

  /// What of the two is learned.
  public var parameters: [Parameter] { [gain, bias].compactMap(\.self) }
  /// γ, or ones.
  public var gainValue: Tensor { gain?.value ?? ones }
  /// β, or zeros.
  public var biasValue: Tensor { bias?.value ?? zeros }
}
