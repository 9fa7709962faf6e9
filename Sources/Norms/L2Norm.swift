import LockstepAutograd
public import LockstepKernels
public import LockstepTensors

/// Each row as a unit vector.
///
///     y = x / max(‖x‖, ε)
///
/// with the Euclidean norm of one row's channels. A row of zeros stays one.
///
/// - Shapes: x and y `[…, C]`.
/// - Communication: none.
/// - Source: the rows of QKNorm, Henry, Dachapally, Pawar & Chen, 2020,
///   <https://arxiv.org/abs/2010.04245>.
public enum L2Norm {
  /// What the forward pass keeps for the backward pass.
  public struct Saved: Sendable {
    let x: Tensor
    let rows: Storage<Double>
  }

  private static let one = Tensor([1], shape: [1])

  /// y of x.
  public static func forward(
    _ x: Tensor, epsilon: Double, epilogue: NormEpilogue = .none
  ) -> (y: Tensor, saved: Saved) {
    let (y, rows) = Kernel.unitRows(
      x, width: x.shape.channels, gain: one, epsilon: epsilon, epilogue: epilogue)
    return (y, Saved(x: x, rows: rows))
  }

  /// The gradient of x.
  ///
  ///     u = x / ‖x‖
  ///     dx = (dy − u · Σ u·dy) / ‖x‖,  and dy / ε where ‖x‖ < ε
  public static func backward(_ dy: OutputGradient, saved: Saved) -> Tensor {
    Kernel.unitRowsGradient(
      saved.x, dy, width: saved.x.shape.channels, gain: one, saved: saved.rows
    ).dx
  }

  /// The norm as a layer of a model.
  struct Module: Norm, FusedLayer {
    static let kind = NormKind.l2
    static let statistics = NormStatistics.channels
    static let settings: [any NormSettingDescription] = [NormSetting<Double>.epsilon]
    static func problem(at site: NormSite, _ settings: NormSettings) -> NormProblem? {
      site.channels == 1
        ? NormProblem(
          "l2 norm at \(site.name) sees one channel: of one value the sign alone is left") : nil
    }

    private let name: LayerName
    private let epsilon: Double

    init(_ site: NormSite, _ settings: NormSettings, _ scope: NormScope) {
      (name, epsilon) = (site.layerName, settings.epsilon)
    }

    func callAsFunction(
      _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
    ) -> Variable {
      let epilogue = NormEpilogue(adding: residual, rectifies: rectified, of: x.value, on: tape)
      let (y, saved) = L2Norm.forward(x.value, epsilon: epsilon, epilogue: epilogue)
      let tail = FusedTail(residual, epilogue, y) { [epsilon] in
        L2Norm.forward(saved.x, epsilon: epsilon, epilogue: $0).y
      }
      return tape.record(
        y, by: name,
        inputPullback: { [gradient = x.gradient] dy, backward in
          let dy = tail.gradient(dy, backward)
          gradient?.add(L2Norm.backward(dy, saved: saved))
          tail.flow(dy)
        }, addsGradients: true, again: tail.again)
    }
  }
}

extension NormKind {
  /// Rows as unit vectors.
  public static let l2: NormKind = "l2"
}
