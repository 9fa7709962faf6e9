import Autograd
import Models
import Norms
import Tensors

/// A value that two configurations do not share.
public struct ConfigurationDifference: Codable, Hashable, Sendable {
  /// The value's path: `optimizer.learningRate`.
  public let key: String
  /// The value in each configuration; nil where it has none.
  public let values: [String?]
}

extension RunConfiguration {
  /// The values that are not the same in all of `configurations`, in the order of their paths.
  ///
  /// - Throws: ``ConfigurationError``.
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

  /// The document's values by path; a list is one value.
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

  /// The names under which steps record what the model's norms compute.
  ///
  /// A norm without parameters has none: its computing is recorded with that of all layers without
  /// parameters.
  public var recordedNorms: Set<String> {
    // Names depend on neither the data's shape nor its classes, nor on any width.
    let narrow = model.narrowed
    let shape: Shape = narrow.context.map { [$0] } ?? [8, 8, 1]
    let network = narrow.make(input: shape, classes: 2, seed: seed)
    let owners = Set(
      network.parameters.map { parameter in
        String(parameter.name[..<(parameter.name.lastIndex(of: ".") ?? parameter.name.endIndex)])
      })
    let names = network.normSites.map(\.name)
    // ScaleNorms share one length.
    return Set(names + ["scale_norm"]).intersection(owners)
  }
}

extension ModelConfiguration {
  /// The same layers under the same names, as narrow as can be.
  fileprivate var narrowed: ModelConfiguration {
    var copy = self
    copy.norm.groups = 1
    switch kind {
    case .mlp(let hidden): copy.kind = .mlp(hidden: hidden.map { _ in 1 })
    case .resNet(let blocks, let widths):
      // Where a width changes, a block has a norm more.
      let kinds = Set(widths).sorted()
      copy.kind = .resNet(
        blocks: blocks, widths: widths.map { (kinds.firstIndex(of: $0) ?? 0) + 1 })
    case .transformer(var settings):
      (settings.context, settings.width, settings.heads, settings.hidden) = (1, 2, 1, 1)
      copy.kind = .transformer(settings)
    case .nGPT(var settings):
      (settings.context, settings.width, settings.heads, settings.hidden) = (1, 2, 1, 1)
      copy.kind = .nGPT(settings)
    }
    return copy
  }
}
