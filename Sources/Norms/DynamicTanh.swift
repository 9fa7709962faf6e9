import LockstepAutograd
import LockstepKernels
public import LockstepTensors

/// A scaled tanh in the place of a norm: it takes no statistics.
///
///     y = γ · tanh(α · x) + β
///
/// with one learned α, which begins at `initialAlpha`.
///
/// - Shapes: x and y `[…, C]`, γ and β `[C]`, α `[1]`.
/// - Communication: none.
/// - Source: Zhu, Chen, He, LeCun & Liu, 2025, eq. 1, <https://arxiv.org/abs/2503.10622>.
public enum DynamicTanh {
  /// y of x.
  public static func forward(_ x: Tensor, alpha: Float, gain: Tensor, bias: Tensor) -> Tensor {
    Kernel.dynamicTanh(x, alpha: alpha, gain: gain, bias: bias)
  }

  /// The gradients of x, α, gain and bias.
  ///
  ///     t = tanh(α x),  h = γ · dy · (1 − t²)
  ///     dx = α · h,  dα = Σ h · x     over rows and channels
  ///     dγ = Σ dy · t,  dβ = Σ dy     over rows
  ///
  /// dx is written over dy where `overwriting`.
  public static func backward(
    _ dy: Tensor, x: Tensor, alpha: Float, gain: Tensor, overwriting: Bool = false
  ) -> (dx: Tensor, dalpha: Double, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>) {
    Kernel.dynamicTanhGradient(x, dy, alpha: alpha, gain: gain, overwriting: overwriting)
  }

  /// The function as a layer of a model.
  struct Module: Norm {
    static let kind = NormKind.dynamicTanh
    static let statistics = NormStatistics.none
    static let settings: [any NormSettingDescription] = [
      NormSetting<Bool>.affine, NormSetting<Double>.initialAlpha,
    ]

    private let name: LayerName
    private let affine: Affine
    private let alpha: Parameter
    var parameters: [Parameter] { [alpha] + affine.parameters }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      name = site.layerName
      affine = Affine(site, affine: settings.affine)
      alpha = Parameter("\(site.name).alpha", .filled([1], with: Float(settings.initialAlpha)))
    }

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable {
      let input = x.value
      let value = alpha.value.elements[0]
      let (gain, bias) = (affine.gainValue, affine.biasValue)
      func output() -> Tensor { DynamicTanh.forward(input, alpha: value, gain: gain, bias: bias) }
      return tape.record(
        output(), by: name, uses: parameters,
        inputPullback: { [affine, alpha, gradient = x.gradient] dy, backward in
          let (dx, dalpha, dgain, dbias) = DynamicTanh.backward(
            dy, x: input, alpha: value, gain: gain, overwriting: backward.mayOverwrite)
          gradient?.add(dx)
          alpha.contribute([dalpha][...])
          affine.gain?.contribute(dgain)
          affine.bias?.contribute(dbias)
        }, again: output)
    }
  }
}

extension NormKind {
  /// Dynamic tanh: no norm, but in a norm's place.
  public static let dynamicTanh: NormKind = "dynamic-tanh"
}

extension NormSetting where Value == Double {
  /// Where dynamic tanh's α begins.
  public static let initialAlpha = NormSetting("initialAlpha", default: 0.5, in: 1e-6...100)
}

extension NormSettings {
  /// Where dynamic tanh's α begins.
  public var initialAlpha: Double {
    get { self[.initialAlpha] }
    set { self[.initialAlpha] = newValue }
  }
}
