import LockstepAutograd
public import LockstepKernelLoops
public import LockstepKernels
public import LockstepTensors

/// Root-mean-square normalization of each row.
///
///     y = γ · x / √(mean x² + ε)
///
/// with the mean over the channels of one row. `epsilonPlacement: outside` divides by
/// √(mean x²) + ε instead. With `zeroCentered` the gain is 1 + γ, and γ begins at 0, so that weight decay pulls the
/// gain to 1 (Gemma Team, 2024, <https://arxiv.org/abs/2403.08295>).
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
  public static func forward(
    _ x: Tensor, gain: Tensor, rule: RowRule, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    let (y, rows) = Kernel.rowNormalize(
      .rms, x, width: x.shape.channels, gain: gain, bias: .zeros(gain.shape), rule: rule,
      epilogue: epilogue)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradients of x and gain.
  ///
  ///     h = γ · dy,  r = 1 / √(mean x² + ε)
  ///     dx = r · h − x · r³ · mean (h·x)
  ///     dγ = Σ dy · x · r     over rows
  public static func backward(
    _ dy: OutputGradient, gain: Tensor, saved: Saved
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>
  ) {
    let (dx, _, dgain) = Kernel.rowGradient(
      .rms, saved.x, dy, width: saved.x.shape.channels, gain: gain, saved: saved.rows)
    return (dx, dgain)
  }

  /// The norm as a layer of a model.
  struct Module: Norm, FusedLayer {
    static let kind = NormKind.rms
    static let statistics = NormStatistics.channels
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine,
      NormSetting<EpsilonPlacement>.epsilonPlacement, NormSetting<Bool>.zeroCentered,
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
      affine = Affine(
        site, affine: settings.affine, hasBias: false, isZeroCentered: settings.zeroCentered)
      rule = settings.rowRule
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) -> Variable {
      let epilogue = NormEpilogue(adding: residual, rectifies: rectified, of: x.value, on: tape)
      func normalized(_ x: Tensor, _ epilogue: NormEpilogue) -> (y: Tensor, saved: Saved) {
        RMSNorm.forward(x, gain: affine.gainValue, rule: rule, epilogue: epilogue)
      }
      let (y, saved) = normalized(x.value, epilogue)
      let tail = FusedTail(residual, epilogue, y) { normalized(saved.x, $0).y }
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [affine, gradient = x.gradient] dy, backward in
          let dy = tail.gradient(dy, backward)
          let (dx, dgain) = RMSNorm.backward(dy, gain: affine.gainValue, saved: saved)
          gradient?.add(dx)
          tail.flow(dy)
          affine.gain?.contribute(dgain)
        }, addsGradients: true, again: tail.again)
    }
  }
}

extension NormSetting where Value == Bool {
  /// Whether RMS norm's gain is 1 + γ, with γ from 0.
  public static let zeroCentered = NormSetting("zeroCentered", default: false)
}

extension NormSettings {
  /// Whether RMS norm's gain is 1 + γ, with γ from 0.
  public var zeroCentered: Bool {
    get { self[.zeroCentered] }
    set { self[.zeroCentered] = newValue }
  }
}

extension NormKind {
  /// RMS norm.
  public static let rms: NormKind = "rms"
}
