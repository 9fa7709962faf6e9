/// A parameter that two layers of a model may share.
public struct TiedParameter: Hashable, Sendable {
  /// The parameter's name if they share it.
  public let name: String
  /// The name of the second layer's parameter if they do not.
  public let alias: String

  /// Creates a shared parameter.
  public init(name: String, alias: String) { (self.name, self.alias) = (name, alias) }
}
