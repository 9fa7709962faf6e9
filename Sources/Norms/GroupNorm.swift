import LockstepAutograd
import LockstepKernelLoops
public import LockstepKernels
public import LockstepTensors

/// Group normalization of each sample.
///
///     μ = mean x,  v = mean (x − μ)²
///     y = γ · (x − μ) / √(v + ε) + β
///
/// with both means over one sample's positions and the channels of one group: C / groups
/// neighbours.
///
/// - Shapes: x and y `[N, positions…, C]`, γ and β `[C]`; `groups` divides C.
/// - Communication: none.
/// - Source: Wu & He, 2018, eq. 7, <https://arxiv.org/abs/1803.08494>.
public enum GroupNorm {
  /// What the forward pass keeps for the backward pass.
  public enum Saved: Sendable {
    /// One position a sample: every group is a row of its own.
    case rows(Tensor, width: Int, Tensor)
    /// x with the statistics of each sample's groups.
    case samples(Tensor, Kernel.GroupStatistics)

    /// The input.
    var x: Tensor {
      switch self {
      case .rows(let x, _, _), .samples(let x, _): x
      }
    }
  }

  /// y of x.
  public static func forward(
    _ x: Tensor, groups: Int, gain: Tensor, bias: Tensor, epsilon: Double,
    epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    let channels = x.shape.channels
    precondition(channels % groups == 0, "\(groups) groups of \(channels) channels")
    guard x.shape.positions > 1 else {
      let width = channels / groups
      let (y, rows) = Kernel.rowNormalize(
        .layer, x, width: width, gain: gain, bias: bias, rule: RowRule(epsilon: Float(epsilon)),
        epilogue: epilogue)
      return (y, .rows(x, width: width, rows))
    }
    let (y, statistics) = Kernel.groupNormalize(
      x, groups: groups, gain: gain, bias: bias, epsilon: epsilon, epilogue: epilogue)
    return (y, .samples(x, statistics))
  }

  /// The gradients of x, gain and bias.
  ///
  ///     t = x − μ,  h = γ · dy,  r = 1 / √(v + ε)
  ///     dx = r · (h − mean h) − t · r³ · mean (h·t)     means over the group
  ///     dγ = Σ dy · t · r,  dβ = Σ dy                   over samples and positions
  public static func backward(_ dy: OutputGradient, gain: Tensor, saved: Saved) -> (
    dx: Tensor, dgain: ArraySlice<Double>, dbias: ArraySlice<Double>
  ) {
    let (dx, dbias, dgain) =
      switch saved {
      case .rows(let x, let width, let rows):
        Kernel.rowGradient(.layer, x, dy, width: width, gain: gain, saved: rows)
      case .samples(let x, let statistics):
        Kernel.groupGradient(x, dy, gain: gain, saved: statistics)
      }
    return (dx, dgain, dbias)
  }

  /// The norm as a layer of a model.
  struct Module: Norm, FusedLayer {
    static let kind = NormKind.group
    static let statistics = NormStatistics.sample
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine, NormSetting<Int>.groups,
    ]

    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      let groups = settings.groups
      if site.channels % groups != 0 {
        return NormProblem(
          "groups \(groups) does not divide the \(site.channels) channels of \(site.name)",
          setting: "groups")
      }
      guard site.channels == groups, site.positions == 1 else { return nil }
      return NormProblem(
        "group norm at \(site.name) has \(groups) groups of one value, which has no variance; "
          + "use fewer groups", setting: "groups")
    }

    private let name: LayerName
    private let affine: Affine
    private let groups: Int
    private let epsilon: Double
    var parameters: [Parameter] { affine.parameters }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      self.init(site, groups: settings.groups, settings)
    }

    init(_ site: NormSite, groups: Int, _ settings: NormSettings) {
      name = site.layerName
      affine = Affine(site, affine: settings.affine)
      self.groups = groups
      epsilon = settings.epsilon
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) -> Variable {
      let shape = x.value.shape
      // Of one position, every group is a row of its own.
      let epilogue = NormEpilogue(
        adding: residual, rectifies: rectified, of: x.value,
        width: shape.positions > 1 ? nil : shape.channels / groups, on: tape)
      func normalized(_ x: Tensor, _ epilogue: NormEpilogue) -> (y: Tensor, saved: Saved) {
        GroupNorm.forward(
          x, groups: groups, gain: affine.gainValue, bias: affine.biasValue, epsilon: epsilon,
          epilogue: epilogue)
      }
      let (y, saved) = normalized(x.value, epilogue)
      let tail = FusedTail(residual, epilogue, y) { normalized(saved.x, $0).y }
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [affine, gradient = x.gradient] dy, backward in
          let dy = tail.gradient(dy, backward)
          let (dx, dgain, dbias) = GroupNorm.backward(dy, gain: affine.gainValue, saved: saved)
          gradient?.add(dx)
          tail.flow(dy)
          affine.gain?.contribute(dgain)
          affine.bias?.contribute(dbias)
        }, addsGradients: true, again: tail.again)
    }
  }
}

extension NormKind {
  /// Group norm.
  public static let group: NormKind = "group"
}

extension NormSetting where Value == Int {
  /// The number of channel groups of a group or whitening norm.
  public static let groups = NormSetting("groups", default: 8, in: 1...(1 << 24))
}

extension NormSettings {
  /// The number of channel groups of a group or whitening norm.
  public var groups: Int {
    get { self[.groups] }
    set { self[.groups] = newValue }
  }
}
