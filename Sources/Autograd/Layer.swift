/// A function of one variable with parameters, written forward only.
public protocol Layer {
  /// What is trained, in registration order.
  var parameters: [Parameter] { get }
  /// What belongs to the state but is not trained.
  var buffers: [Buffer] { get }
  /// What is counted.
  var counters: [Counter] { get }
  /// Applies the layer and records it on the tape.
  func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable
}

extension Layer {
  /// Nothing is trained unless the layer says so.
  public var parameters: [Parameter] { [] }
  /// No buffers unless the layer says so.
  public var buffers: [Buffer] { [] }
  /// No counters unless the layer says so.
  public var counters: [Counter] { [] }
}

/// A layer that can add a residual to its output, and rectify it, in the pass that writes it.
///
/// Whoever composes layers may use it in place of three layers; the result is the same.
public protocol FusedLayer: Layer {
  /// Applies the layer, adds `residual` to its output, rectifies the sum where `rectified`, and records all of
  /// it as one entry of the tape.
  func callAsFunction(
    _ x: Variable, adding residual: Variable?, rectified: Bool, on tape: Tape
  ) throws -> Variable
}

extension FusedLayer {
  /// Applies the layer alone.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try self(x, adding: nil, rectified: false, on: tape)
  }
}

/// Layers one after the other.
public struct Sequential: Layer {
  private let layers: [any Layer]

  /// The composition of `layers`, the first one applied first.
  public init(_ layers: [any Layer]) { self.layers = layers }

  /// All layers' parameters.
  public var parameters: [Parameter] { layers.flatMap(\.parameters) }
  /// All layers' buffers.
  public var buffers: [Buffer] { layers.flatMap(\.buffers) }
  /// All layers' counters.
  public var counters: [Counter] { layers.flatMap(\.counters) }

  /// Applies the layers in order.
  public func callAsFunction(_ x: Variable, on tape: Tape) throws -> Variable {
    try layers.reduce(x) { try $1($0, on: tape) }
  }
}
