import LockstepAutograd
import LockstepKernels
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
  public static func forward(_ x: Tensor, gain: Tensor, bias: Tensor, epsilon: Double) -> (
    y: Tensor, saved: GroupNorm.Saved
  ) {
    GroupNorm.forward(x, groups: x.shape.channels, gain: gain, bias: bias, epsilon: epsilon)
  }

  /// The gradients, as ``GroupNorm/backward(_:gain:saved:overwriting:)`` has them.
  public static func backward(
    _ dy: Tensor, gain: Tensor, saved: GroupNorm.Saved, overwriting: Bool = false
  ) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    GroupNorm.backward(dy, gain: gain, saved: saved, overwriting: overwriting)
  }

  /// The norm as a layer of a model.
  struct Module: Norm {
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

    func callAsFunction(_ x: Variable, on tape: Tape) -> Variable { module(x, on: tape) }
  }
}

extension NormKind {
  /// Instance norm.
  public static let instance: NormKind = "instance"
}
