/// A value that differs between configurations.
public struct ConfigurationDifference: Codable, Hashable, Sendable {
  /// The value's path: `optimizer.learningRate`.
  public let key: String
  /// The value in each configuration; nil if it has none.
  public let values: [String?]
}

extension RunConfiguration {
  /// The values that are not the same in all of `configurations`, in the order of their paths.
  ///
  /// - Throws: ``ConfigurationError`` if a resolved configuration cannot be read back.
  public static func differences(_ configurations: [RunConfiguration]) throws
    -> [ConfigurationDifference]
  {
    let values = try configurations.map { configuration in
      let root = try ConfigurationNode.parse(
        configuration.resolvedYAML, name: configuration.name)
      return Dictionary(uniqueKeysWithValues: flattened(root, path: ""))
    }
    return Set(values.flatMap(\.keys)).sorted().compactMap { key in
      let all = values.map { $0[key] }
      return Set(all).count > 1 ? ConfigurationDifference(key: key, values: all) : nil
    }
  }

  /// The document's values by path; a list counts as one value.
  private static func flattened(_ node: ConfigurationNode, path: String) -> [(String, String)] {
    if case .mapping(let entries) = node.content {
      return entries.flatMap {
        flattened($0.value, path: path.isEmpty ? $0.key : "\(path).\($0.key)")
      }
    }
    return [(path, text(node))]
  }

  private static func text(_ node: ConfigurationNode) -> String {
    switch node.content {
    case .scalar(let text): text
    case .null: "null"
    case .sequence(let nodes): "[\(nodes.map(text).joined(separator: ", "))]"
    case .mapping(let entries):
      "{\(entries.map { "\($0.key): \(text($0.value))" }.joined(separator: ", "))}"
    }
  }
}
