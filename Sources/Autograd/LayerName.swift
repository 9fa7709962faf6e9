public import LockstepCollectives

/// A layer's name in its model, under which its steps are recorded and its collectives are counted.
public struct LayerName: Hashable, Sendable, ExpressibleByStringLiteral {
  /// The name as events carry it.
  public let event: EventName
  /// Whether the layer is a norm, whose computing is told apart from that of other layers.
  public let isNorm: Bool

  /// The name `text`, such as "layer1.0.bn1".
  public init(_ text: String, isNorm: Bool = false) {
    event = EventName(text)
    self.isNorm = isNorm
  }

  /// The name of a layer that is no norm.
  public init(stringLiteral text: String) { self.init(text) }

  /// The text.
  public var text: String { event.text }
}
