import Foundation
package import LockstepFiles
import Yams

/// A value of a YAML document, with its place in the document.
package struct ConfigurationNode: Sendable {
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

  /// The texts that mean null unless they are quoted.
  static let nulls = ["", "~", "null", "Null", "NULL"]

  /// The value itself if it is a scalar, or its kind, for messages.
  var kind: String {
    switch content {
    case .scalar(let text): "\"\(text)\""
    case .null: "null"
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }

  /// Reads a YAML document, which may be JSON.
  package static func parse(_ yaml: String, name: String) throws(ConfigurationError)
    -> ConfigurationNode
  {
    guard yaml.utf8.count <= ConfigurationLimits.document else {
      throw ConfigurationError(
        name, "has \(yaml.utf8.count) bytes, expected no more than \(ConfigurationLimits.document)")
    }
    let stars = possibleAliases(yaml)
    if !stars.isEmpty, let line = try lineOfAlias(yaml, among: stars, name) {
      throw ConfigurationError("\(name):\(line)", "anchors and aliases are not supported")
    }
    guard let root = try compose(yaml, name) else {
      throw ConfigurationError(name, "the document is empty")
    }
    var left = ConfigurationLimits.values
    return try convert(root, name, &left)
  }

  private static func compose(_ yaml: String, _ name: String) throws(ConfigurationError) -> Node? {
    do {
      return try Yams.compose(yaml: yaml)
    } catch let error as YamlError {
      throw ConfigurationError(name, describe(error))
    } catch {
      throw ConfigurationError(name, "\(error)")
    }
  }

  /// The position of a character: its line and column, both from 1.
  private struct Position: Hashable {
    let line: Int
    let column: Int
  }

  /// The asterisks that may begin an alias: they do not follow a word, and something follows them.
  ///
  /// Asterisks in comments and quoted texts are included.
  private static func possibleAliases(_ yaml: String) -> Set<Position> {
    var found: Set<Position> = []
    var isAfterWord = false
    var star: Position?
    forEachCharacter(of: yaml) { scalar, position in
      let isSpace = scalar.properties.isWhitespace
      if let star, !isSpace { found.insert(star) }
      star = scalar == "*" && !isAfterWord ? position : nil
      isAfterWord = scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
    }
    return found
  }

  /// Visits the characters of a document with their positions; lines end as in YAML 1.1.
  private static func forEachCharacter(
    of yaml: String, _ body: (Unicode.Scalar, Position) -> Void
  ) {
    var (line, column) = (1, 1)
    var last: Unicode.Scalar = " "
    for scalar in yaml.unicodeScalars {
      if last == "\r", scalar != "\n" { (line, column) = (line + 1, 1) }
      body(scalar, Position(line: line, column: column))
      let endsLine = ["\n", "\u{85}", "\u{2028}", "\u{2029}"].contains(scalar)
      (line, column) = endsLine ? (line + 1, 1) : (line, column + 1)
      last = scalar
    }
  }

  /// The line of the first of `stars` that begins an alias; nil if none does.
  ///
  /// The composer replaces every alias by a copy, so a few lines of aliases to aliases could make more values
  /// than fit into memory. So it is given the document with letters in place of the asterisks. A plain value
  /// that it finds at such a position was an alias.
  private static func lineOfAlias(_ yaml: String, among stars: Set<Position>, _ name: String)
    throws(ConfigurationError) -> Int?
  {
    var text = String.UnicodeScalarView()
    forEachCharacter(of: yaml) { text.append(stars.contains($1) ? "x" : $0) }
    var lines: [Int] = []
    func visit(_ node: Node) {
      switch node {
      case .scalar(let scalar):
        if scalar.style == .plain, let mark = scalar.mark,
          stars.contains(Position(line: mark.line, column: mark.column))
        {
          lines.append(mark.line)
        }
      case .sequence(let sequence): sequence.forEach(visit)
      case .mapping(let mapping):
        for (key, value) in mapping {
          visit(key)
          visit(value)
        }
      case .alias: break
      }
    }
    try compose(String(text), name).map(visit)
    return lines.min()
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

  private static func convert(_ node: Node, _ name: String, _ left: inout Int)
    throws(ConfigurationError) -> ConfigurationNode
  {
    let place = node.mark.map { "\(name):\($0.line):\($0.column)" } ?? name
    left -= 1
    guard left >= 0 else {
      throw ConfigurationError(
        place, "the document has more than \(ConfigurationLimits.values) values")
    }
    switch node {
    case .scalar(let scalar):
      let isNull = scalar.style == .plain && nulls.contains(scalar.string)
      return ConfigurationNode(content: isNull ? .null : .scalar(scalar.string), place: place)
    case .sequence(let sequence):
      var nodes: [ConfigurationNode] = []
      for element in sequence { nodes.append(try convert(element, name, &left)) }
      return ConfigurationNode(content: .sequence(nodes), place: place)
    case .mapping(let mapping):
      var entries: [Entry] = []
      for (key, value) in mapping {
        let keyPlace = key.mark.map { "\(name):\($0.line):\($0.column)" } ?? name
        guard let text = key.string else {
          throw ConfigurationError(keyPlace, "a key has to be text")
        }
        entries.append(Entry(key: text, place: keyPlace, value: try convert(value, name, &left)))
      }
      return ConfigurationNode(content: .mapping(entries), place: place)
    case .alias:
      throw ConfigurationError(place, "aliases are not supported")
    }
  }

  /// Sets the value that a `key.path=value` assignment gives.
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
