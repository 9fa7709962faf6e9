public import LockstepAutograd

/// A layer and an activation after it, with a residual added in between where there is one.
///
///     y = act(layer(x) + residual)
///
/// A rectifier and the sum are computed in the pass that writes the layer's output, if the layer can do so: norms
/// can. What other activations need is computed one after the other.
public struct Activated: Layer {
  private let layer: any Layer
  private let activation: Activation

  /// The layer's.
  public var parameters: [Parameter] { layer.parameters }
  /// The layer's.
  public var buffers: [Buffer] { layer.buffers }
  /// The layer's.
  public var counters: [Counter] { layer.counters }

  /// `activation` after `layer`.
  public init(_ layer: any Layer, _ activation: Activation) {
    self.layer = layer
    self.activation = activation
  }

  /// The same layers, with every rectifier joined to the layer before it where that can rectify in the pass that
  /// writes its output.
  public static func joining(_ layers: [any Layer]) -> [any Layer] {
    layers.reduce(into: []) { joined, layer in
      if layer as? Activation == .relu, let last = joined.last as? any FusedLayer {
        joined[joined.count - 1] = Activated(last, .relu)
      } else {
        joined.append(layer)
      }
    }
  }

  /// Applies the layer, then the activation.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try self(x, adding: nil, on: tape)
  }

  /// Applies the layer, adds the residual, then applies the activation.
  public func callAsFunction(_ x: Variable, adding residual: Variable?, on tape: Tape) throws
    -> Variable
  {
    if let fused = layer as? any FusedLayer {
      let isReLU = activation == .relu
      let y = try fused(x, adding: residual, rectified: isReLU, on: tape)
      return isReLU ? y : activation(y, on: tape)
    }
    let y = try layer(x, on: tape)
    return activation(residual.map { tape.add(y, $0) } ?? y, on: tape)
  }
}
