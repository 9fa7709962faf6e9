public import LockstepAutograd
public import LockstepKernels
public import LockstepTensors

/// Each row scaled to one learned length.
///
///     y = g · x / max(‖x‖, ε)
///
/// with the Euclidean norm of one row's channels. All ScaleNorms of a model share the one g, which
/// begins at √C of the first.
///
/// - Shapes: x and y `[…, C]`, g `[1]`.
/// - Communication: none.
/// - Source: Nguyen & Salazar, 2019, <https://arxiv.org/abs/1910.05895>.
public enum ScaleNorm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Storage<Double>
  }

  /// A g that begins at √C, to share between layers.
  public static func gain(_ name: String, channels: Int) -> Parameter {
    Parameter("\(name).weight", initialGain(channels))
  }

  private static func initialGain(_ channels: Int) -> Tensor {
    .filled([1], with: Float(channels).squareRoot())
  }

  /// y of x.
  public static func forward(
    _ x: Tensor, gain: Tensor, epsilon: Double, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    let (y, rows) = Kernel.unitRows(
      x, width: x.shape.channels, gain: gain, epsilon: epsilon, epilogue: epilogue)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradients of x and g.
  ///
  ///     u = x / ‖x‖
  ///     dx = g · (dy − u · Σ u·dy) / ‖x‖,  and g · dy / ε where ‖x‖ < ε
  ///     dg = Σ dy · x / max(‖x‖, ε)     over rows and channels
  public static func backward(
    _ dy: OutputGradient, gain: Tensor, saved: Saved
  ) -> (dx: Tensor, dgain: ArraySlice<Double>) {
    let (dx, dgain) = Kernel.unitRowsGradient(
      saved.x, dy, width: saved.x.shape.channels, gain: gain, saved: saved.rows)
    return (dx, dgain[...])
  }

  /// The norm as a layer of a model.
  struct Module: Norm, FusedLayer {
    static let kind = NormKind.scale
    static let statistics = NormStatistics.channels
    static let settings: [any NormSettingDescription] = [
      NormSetting<Double>.epsilon, NormSetting<Bool>.affine,
    ]
    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      site.channels == 1
        ? NormProblem(
          "scale norm at \(site.name) sees one channel: of one value the sign alone is left") : nil
    }

    private let name: LayerName
    private let gain: Parameter?
    private let constant: Tensor
    private let epsilon: Double
    var parameters: [Parameter] { gain.map { [$0] } ?? [] }

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      name = site.layerName
      let (channels, shared) = (site.channels, scope.shared)
      gain =
        settings.affine
        ? shared?.parameter("scale_norm") { ScaleNorm.gain("scale_norm", channels: channels) }
          ?? ScaleNorm.gain(site.name, channels: channels) : nil
      constant = ScaleNorm.initialGain(channels)
      epsilon = settings.epsilon
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) -> Variable {
      let epilogue = NormEpilogue(adding: residual, rectifies: rectified, of: x.value, on: tape)
      let value = gain?.value ?? constant
      func normalized(_ x: Tensor, _ epilogue: NormEpilogue) -> (y: Tensor, saved: Saved) {
        ScaleNorm.forward(x, gain: value, epsilon: epsilon, epilogue: epilogue)
      }
      let (y, saved) = normalized(x.value, epilogue)
      let tail = FusedTail(residual, epilogue, y) { normalized(saved.x, $0).y }
      return tape.record(
        y, by: name, uses: parameters,
        inputPullback: { [gain, gradient = x.gradient] dy, backward in
          let dy = tail.gradient(dy, backward)
          let (dx, dgain) = ScaleNorm.backward(dy, gain: value, saved: saved)
          gradient?.add(dx)
          tail.flow(dy)
          gain?.contribute(dgain)
        }, addsGradients: true, again: tail.again)
    }
  }
}

extension NormKind {
  /// ScaleNorm: rows of one learned length.
  public static let scale: NormKind = "scale"
}
