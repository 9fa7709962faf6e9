public import LockstepAutograd
public import LockstepTensors

/// The learned gain γ, from 1, and bias β, from 0, of a norm, under PyTorch's names; or
/// constants where the norm is not affine.
public struct Affine {
  /// γ `[C]`; nil where it is 1.
  public let gain: Parameter?
  /// β `[C]`; nil where it is 0.
  public let bias: Parameter?
  /// What is added to the learned gain: 1 where it begins at 0.
  private let offset: Float
  private let ones: Tensor
  private let zeros: Tensor

  /// The two from 1 and 0.
  ///
  /// A zero-centred γ begins at 0 and has 1 added. `isSummedByLayer` says whether the norm's own collective sums their gradients.
  public init(
    _ site: NormSite, affine: Bool = true, hasBias: Bool = true, isZeroCentered: Bool = false,
    isSummedByLayer: Bool = false
  ) {
    offset = isZeroCentered ? 1 : 0
    let channels = site.channels
    ones = .filled([channels], with: 1)
    zeros = .zeros([channels])
    gain =
      affine
      ? Parameter(
        "\(site.name).weight", .filled([channels], with: 1 - offset),
        isSummedByLayer: isSummedByLayer)
      : nil
    bias =
      affine && hasBias
      ? Parameter("\(site.name).bias", .zeros([channels]), isSummedByLayer: isSummedByLayer) : nil
  }

  /// What of the two is learned.
  public var parameters: [Parameter] { [gain, bias].compactMap(\.self) }
  /// γ, 1 + γ where it is zero-centred, or ones.
  public var gainValue: Tensor {
    guard offset != 0, let value = gain?.value else { return gain?.value ?? ones }
    return Tensor(value.elements.map { $0 + offset }, shape: value.shape)
  }
  /// β, or zeros.
  public var biasValue: Tensor { bias?.value ?? zeros }
}
