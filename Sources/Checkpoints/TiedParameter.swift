/// A parameter that two layers of a model may share.
public struct TiedParameter: Hashable, Sendable {
  /// The name that it has where they do.
  public let name: String
  /// The name of the other layer's, where they do not.
  public let alias: String

  /// A shared parameter.
  public init(name: String, alias: String) { (self.name, self.alias) = (name, alias) }
}
