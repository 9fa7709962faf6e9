import LockstepAutograd
public import LockstepLayers
import LockstepTensors

/// A multilayer perceptron: linear, norm, activation for each hidden width, then linear.
///
/// Parameters are `fc1`, `norm1`, …, and `fc` for the last layer.
public struct MLPSettings: Hashable, Sendable {
  /// The hidden widths, at least one.
  public var hidden: [Int]
  /// The activation after each norm.
  public var activation: Activation

  /// Puts the settings together.
  public init(hidden: [Int], activation: Activation = .relu) {
    self.hidden = hidden
    self.activation = activation
  }
}

extension Model {
  /// An MLP over flattened samples.
  public static func mlp(_ settings: MLPSettings, _ context: ModelContext) -> Model {
    let build = ModelBuilder(context)
    var layers: [any Layer] = [Flatten()]
    var width = context.input.count
    for (i, hidden) in settings.hidden.enumerated() {
      layers += [
        build.linear("fc\(i + 1)", width, hidden),
        Activated(
          build.norm("norm\(i + 1)", channels: hidden, positions: 1), settings.activation),
      ]
      width = hidden
    }
    layers.append(build.linear("fc", width, context.classes))
    return Model(layers, norms: build.norms)
  }
}
