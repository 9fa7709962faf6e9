import Foundation
import Yams

/// A wrong configuration: where, and what was expected.
public struct ConfigurationError: Error, CustomStringConvertible, Hashable, Sendable {
  /// `file:line:column`, or the option that it came from.
  public let place: String
  /// What was found and what was expected.
  public let problem: String

  /// Puts the error together.
  public init(_ place: String, _ problem: String) {
    self.place = place
    self.problem = problem
  }

  /// The place and the problem.
  public var description: String { "\(place): \(problem)" }
}

/// A value of a YAML document with the place where it stands.
struct ConfigurationNode: Sendable {
  indirect enum Content: Sendable {
    case scalar(String)
    case null
    case sequence([ConfigurationNode])
    case mapping([Entry])
  }
  struct Entry: Sendable {
    let key: String
    let place: String
    var value: ConfigurationNode
  }

  var content: Content
  let place: String

  /// What kind of value it is, for messages.
  var kind: String {
    switch content {
    case .scalar(let text): "\"\(text)\""
    case .null: "null"
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }

  /// Reads a YAML document; JSON is one too.
  static func parse(_ yaml: String, name: String) throws(ConfigurationError) -> ConfigurationNode {
    let root: Node?
    do {
      root = try Yams.compose(yaml: yaml)
    } catch let error as YamlError {
      throw ConfigurationError(name, describe(error))
    } catch {
      throw ConfigurationError(name, "\(error)")
    }
    guard let root else { throw ConfigurationError(name, "the document is empty") }
    return try convert(root, name)
  }

  private static func describe(_ error: YamlError) -> String {
    switch error {
    case .scanner(context: _, let problem, let mark, yaml: _),
      .parser(context: _, let problem, let mark, yaml: _),
      .composer(context: _, let problem, let mark, yaml: _):
      "line \(mark.line), column \(mark.column): \(problem)"
    case .duplicatedKeysInMapping(let keys, let context):
      "line \(context.mark.line), column \(context.mark.column): duplicate keys \(keys)"
    default: "\(error)"
    }
  }

  private static func convert(_ node: Node, _ name: String) throws(ConfigurationError)
    -> ConfigurationNode
  {
    let place = node.mark.map { "\(name):\($0.line):\($0.column)" } ?? name
    switch node {
    case .scalar(let scalar):
      let isNull =
        scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
      return ConfigurationNode(content: isNull ? .null : .scalar(scalar.string), place: place)
    case .sequence(let sequence):
      var nodes: [ConfigurationNode] = []
      for element in sequence { nodes.append(try convert(element, name)) }
      return ConfigurationNode(content: .sequence(nodes), place: place)
    case .mapping(let mapping):
      var entries: [Entry] = []
      for (key, value) in mapping {
        let keyPlace = key.mark.map { "\(name):\($0.line):\($0.column)" } ?? name
        guard let text = key.string else {
          throw ConfigurationError(keyPlace, "a key has to be a text")
        }
        entries.append(Entry(key: text, place: keyPlace, value: try convert(value, name)))
      }
      return ConfigurationNode(content: .mapping(entries), place: place)
    case .alias:
      throw ConfigurationError(place, "aliases are not supported")
    }
  }

  /// Puts the value of a `key.path=value` assignment in its place.
  mutating func assign(_ assignment: String) throws(ConfigurationError) {
    let place = "--set \(assignment)"
    guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else {
      throw ConfigurationError(place, "expected key.path=value")
    }
    let path = assignment[..<equals].split(separator: ".", omittingEmptySubsequences: false)
      .map(String.init)
    let text = String(assignment[assignment.index(after: equals)...])
    var value =
      text.isEmpty
      ? ConfigurationNode(content: .null, place: place)
      : try ConfigurationNode.parse(text, name: place)
    value = value.moved(to: place)
    try set(path[...], to: value, place)
  }

  private func moved(to place: String) -> ConfigurationNode {
    let content: Content =
      switch self.content {
      case .sequence(let nodes): .sequence(nodes.map { $0.moved(to: place) })
      case .mapping(let entries):
        .mapping(
          entries.map { Entry(key: $0.key, place: place, value: $0.value.moved(to: place)) })
      default: self.content
      }
    return ConfigurationNode(content: content, place: place)
  }

  private mutating func set(
    _ path: ArraySlice<String>, to value: ConfigurationNode, _ place: String
  )
    throws(ConfigurationError)
  {
    guard let key = path.first else {
      self = value
      return
    }
    if case .null = content { content = .mapping([]) }
    guard case .mapping(var entries) = content else {
      throw ConfigurationError(place, "there is no key \"\(key)\" in \(kind)")
    }
    if let index = entries.firstIndex(where: { $0.key == key }) {
      try entries[index].value.set(path.dropFirst(), to: value, place)
    } else {
      var made = ConfigurationNode(content: .null, place: place)
      try made.set(path.dropFirst(), to: value, place)
      entries.append(Entry(key: key, place: place, value: made))
    }
    content = .mapping(entries)
  }
}
