import LockstepAutograd
public import LockstepKernels
public import LockstepTensors

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
  public static func forward(
    _ x: Tensor, gain: Tensor, bias: Tensor, epsilon: Double, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: GroupNorm.Saved) {
    GroupNorm.forward(
      x, groups: x.shape.channels, gain: gain, bias: bias, epsilon: epsilon, epilogue: epilogue)
  }

  /// The gradients, as ``GroupNorm/backward(_:gain:saved:)`` has them.
  public static func backward(
    _ dy: OutputGradient, gain: Tensor, saved: GroupNorm.Saved
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    GroupNorm.backward(dy, gain: gain, saved: saved)
  }

  /// The norm as a layer of a model.
  struct Module: Norm, FusedLayer {
    static let kind = NormKind.instance
    static let statistics = NormStatistics.sample
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine,
    ]

    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      site.positions == 1
        ? NormProblem(
          "instance norm at \(site.name) sees one position a sample: one value a channel has no "
            + "variance") : nil
    }

    private let module: GroupNorm.Module
    var parameters: [Parameter] { module.parameters }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      module = GroupNorm.Module(site, groups: site.channels, settings)
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) -> Variable { module(x, adding: residual, rectified: rectified, on: tape) }
  }
}

extension NormKind {
  /// Instance norm.
  public static let instance: NormKind = "instance"
}
