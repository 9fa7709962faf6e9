import LockstepAutograd
public import LockstepKernelLoops
public import LockstepKernels
public import LockstepTensors

/// Layer normalization of each row.
///
///     μ = mean x,  v = mean (x − μ)²
///     y = γ · (x − μ) / √(v + ε) + β
///
/// with both means over the channels of one row. `epsilonPlacement: outside` divides by √v + ε
/// instead, and `unbiased` takes v over one less than the number of channels. `detached` takes μ and
/// v for constants in the backward pass: DetachNorm of Xu, Sun, Zhang, Zhao & Lin, 2019,
/// <https://arxiv.org/abs/1911.07013>.
///
/// - Shapes: x and y `[…, C]`, γ and β `[C]`.
/// - Communication: none.
/// - Source: Ba, Kiros & Hinton, 2016, eq. 3 and 4, <https://arxiv.org/abs/1607.06450>.
public enum LayerNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Tensor
  }

  /// y of x.
  public static func forward(
    _ x: Tensor, gain: Tensor, bias: Tensor, rule: RowRule, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    let (y, rows) = Kernel.rowNormalize(
      .layer, x, width: x.shape.channels, gain: gain, bias: bias, rule: rule, epilogue: epilogue)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradients of x, gain and bias.
  ///
  ///     t = x − μ,  h = γ · dy,  r = 1 / √(v + ε)
  ///     dx = r · (h − mean h) − t · r³ · mean (h·t)
  ///     dγ = Σ dy · t · r,  dβ = Σ dy     over rows
  ///
  /// Where `detached`, dx = r · h is all that is left of it.
  public static func backward(
    _ dy: OutputGradient, gain: Tensor, saved: Saved, detached: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    let dy = detached ? dy.keepingPassed : dy
    let (dx, dbias, dgain) = Kernel.rowGradient(
      .layer, saved.x, dy, width: saved.x.shape.channels, gain: gain, saved: saved.rows)
    // The sums come from the whole pass, whose dx is written over with the detached one.
    if detached { Kernel.rowScale(dy.passed, gain: gain, saved: saved.rows, into: dx) }
    return (dx, dgain, dbias)
  }

  /// The norm as a layer of a model.
  struct Module: Norm, FusedLayer {
    static let kind = NormKind.layer
    static let statistics = NormStatistics.channels
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine,
      NormSetting<EpsilonPlacement>.epsilonPlacement, NormSetting<Bool>.unbiased,
      NormSetting<Bool>.detached,
    ]
    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      site.channels == 1
        ? NormProblem(
          "layer norm at \(site.name) sees one channel: one value has no variance") : nil
    }

    private let name: LayerName
    private let affine: Affine
    private let rule: RowRule
    private let detached: Bool
    var parameters: [Parameter] { affine.parameters }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      name = site.layerName
      affine = Affine(site, affine: settings.affine)
      rule = settings.rowRule
      detached = settings.detached
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) -> Variable {
      let epilogue = NormEpilogue(adding: residual, rectifies: rectified, of: x.value, on: tape)
      func normalized(_ x: Tensor, _ epilogue: NormEpilogue) -> (y: Tensor, saved: Saved) {
        LayerNorm.forward(
          x, gain: affine.gainValue, bias: affine.biasValue, rule: rule, epilogue: epilogue)
      }
      let (y, saved) = normalized(x.value, epilogue)
      let tail = FusedTail(residual, epilogue, y) { normalized(saved.x, $0).y }
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [affine, detached, gradient = x.gradient] dy, backward in
          let dy = tail.gradient(dy, backward)
          let (dx, dgain, dbias) = LayerNorm.backward(
            dy, gain: affine.gainValue, saved: saved, detached: detached)
          gradient?.add(dx)
          tail.flow(dy)
          affine.gain?.contribute(dgain)
          affine.bias?.contribute(dbias)
        }, addsGradients: true, again: tail.again)
    }
  }
}

extension NormKind {
  /// Layer norm.
  public static let layer: NormKind = "layer"
}

/// Where ε stands in a row norm.
public enum EpsilonPlacement: String, CaseIterable, NormSettingValue {
  /// Under the root, beside the variance.
  case inside
  /// Beside the root.
  case outside
}

extension NormSetting where Value == EpsilonPlacement {
  /// Where ε stands, for layer and RMS norm.
  public static let epsilonPlacement = NormSetting("epsilonPlacement", default: .inside)
}

extension NormSetting where Value == Bool {
  /// Whether layer norm divides the variance by one less than the number of channels.
  public static let unbiased = NormSetting("unbiased", default: false)
  /// Whether layer norm takes the mean and the variance for constants in its backward pass.
  public static let detached = NormSetting("detached", default: false)
}

extension NormSettings {
  /// How layer or RMS norm scales a row.
  public var rowRule: RowRule {
    RowRule(
      epsilon: Float(epsilon), outside: epsilonPlacement == .outside,
      unbiased: kind == .layer && unbiased)
  }

  /// Where ε stands, for layer and RMS norm.
  public var epsilonPlacement: EpsilonPlacement {
    get { self[.epsilonPlacement] }
    set { self[.epsilonPlacement] = newValue }
  }

  /// Whether layer norm divides the variance by one less than the number of channels.
  public var unbiased: Bool {
    get { self[.unbiased] }
    set { self[.unbiased] = newValue }
  }

  /// Whether layer norm takes the mean and the variance for constants in its backward pass.
  public var detached: Bool {
    get { self[.detached] }
    set { self[.detached] = newValue }
  }
}
