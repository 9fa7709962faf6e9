import LockstepAutograd
public import LockstepKernelLoops
import LockstepKernels
public import LockstepTensors

/// Root-mean-square normalization of each row.
///
///     y = γ · x / √(mean x² + ε)
///
/// with the mean over the channels of one row. `epsilonPlacement: outside` divides by
/// √(mean x²) + ε instead.
///
/// - Shapes: x and y `[…, C]`, γ `[C]`.
/// - Communication: none.
/// - Source: Zhang & Sennrich, 2019, eq. 4, <https://arxiv.org/abs/1910.07467>.
public enum RMSNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Tensor
  }

  /// y of x.
  public static func forward(_ x: Tensor, gain: Tensor, rule: RowRule) -> (
    y: Tensor, saved: Saved
  ) {
    let (y, rows) = Kernel.rowNormalize(
      .rms, x, width: x.shape.channels, gain: gain, bias: .zeros(gain.shape), rule: rule)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradients of x and gain.
  ///
  ///     h = γ · dy,  r = 1 / √(mean x² + ε)
  ///     dx = r · h − x · r³ · mean (h·x)
  ///     dγ = Σ dy · x · r     over rows
  public static func backward(
    _ dy: Tensor, gain: Tensor, saved: Saved, overwriting: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>
  ) {
    let (dx, _, dgain) = Kernel.rowGradient(
      .rms, saved.x, dy, width: saved.x.shape.channels, gain: gain, saved: saved.rows,
      overwriting: overwriting)
    return (dx, dgain)
  }

  /// The norm as a layer of a model.
  struct Module: Norm {
    static let kind = NormKind.rms
    static let statistics = NormStatistics.channels
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine,
      NormSetting<EpsilonPlacement>.epsilonPlacement,
    ]
    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      site.channels == 1
        ? NormProblem(
          "rms norm at \(site.name) sees one channel: of one value the sign alone is left") : nil
    }

    private let name: LayerName
    private let affine: Affine
    private let rule: RowRule
    var parameters: [Parameter] { affine.parameters }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      name = site.layerName
      affine = Affine(site, affine: settings.affine, hasBias: false)
      rule = RowRule(
        epsilon: Float(settings.epsilon), outside: settings.epsilonPlacement == .outside)
    }

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      func normalized(_ x: Tensor) -> (y: Tensor, saved: Saved) {
        RMSNorm.forward(x, gain: affine.gainValue, rule: rule)
      }
      let (y, saved) = normalized(x.value)
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [affine, gradient = x.gradient] dy, backward in
          let (dx, dgain) = RMSNorm.backward(
            dy, gain: affine.gainValue, saved: saved, overwriting: backward.mayOverwrite)
          gradient?.add(dx)
          affine.gain?.contribute(dgain)
        }, again: { normalized(saved.x).y })
    }
  }
}

extension NormKind {
  /// RMS norm.
  public static let rms: NormKind = "rms"
}
