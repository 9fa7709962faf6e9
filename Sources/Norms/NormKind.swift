/// The name of a norm in the `norm.kind` setting, such as "sync-batch".
public struct NormKind: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
  /// The name.
  public let rawValue: String

  /// The kind of a name, whether a norm has it or not; ``NormRegistry`` knows which there are.
  public init(rawValue: String) { self.rawValue = rawValue }

  /// The kind of a name.
  public init(stringLiteral name: String) { rawValue = name }
}
