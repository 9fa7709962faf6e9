package import LockstepFiles
import LockstepNorms

/// A mapping of a configuration, read strictly: an unknown key is an error, and so is a value of the wrong
/// type or out of range.
package struct ConfigurationSection {
  private let entries: [String: ConfigurationNode.Entry]
  private let path: String
  /// The place of the section.
  let place: String

  /// Reads a mapping whose keys are all among `keys`.
  package init(_ node: ConfigurationNode, path: String, keys: [String]) throws(ConfigurationError) {
    guard case .mapping(let list) = node.content else {
      throw ConfigurationError(
        node.place,
        "\(path.isEmpty ? "the configuration" : path) is \(node.kind), expected a mapping")
    }
    var entries: [String: ConfigurationNode.Entry] = [:]
    for entry in list {
      guard keys.contains(entry.key) else {
        throw ConfigurationError(
          entry.place, "unknown key \"\(Self.join(path, entry.key))\"" + suggestion(entry.key, keys)
        )
      }
      entries[entry.key] = entry
    }
    self.entries = entries
    self.path = path
    place = node.place
  }

  private static func join(_ path: String, _ key: String) -> String {
    path.isEmpty ? key : "\(path).\(key)"
  }

  /// The place of a key's value, or of the section if the key is not given.
  func place(_ key: String) -> String { entries[key]?.value.place ?? place }

  /// Whether the key is given with a value other than null, which takes a value back.
  package func has(_ key: String) -> Bool { entries[key] != nil && !isNull(key) }

  /// Whether the key is given as null.
  func isNull(_ key: String) -> Bool {
    if case .null? = entries[key]?.value.content { true } else { false }
  }

  private func wrong(_ key: String, _ expected: String) -> ConfigurationError {
    let found = entries[key]?.value.kind ?? "missing"
    return ConfigurationError(
      place(key), "\(Self.join(path, key)) is \(found), expected \(expected)")
  }

  private func scalar(_ key: String) -> String? {
    if case .scalar(let text)? = entries[key]?.value.content { text } else { nil }
  }

  package func int(_ key: String, default value: Int? = nil, in range: ClosedRange<Int>)
    throws(ConfigurationError) -> Int
  {
    let expected =
      range.upperBound == .max
      ? "a whole number from \(range.lowerBound) on"
      : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    guard has(key) else {
      if let value { return value }
      throw wrong(key, expected)
    }
    guard let number = scalar(key).flatMap({ Int($0) }), range.contains(number) else {
      throw wrong(key, expected)
    }
    return number
  }

  func double(_ key: String, default value: Double? = nil, in range: ClosedRange<Double>)
    throws(ConfigurationError) -> Double
  {
    let (low, high) = (range.lowerBound, range.upperBound)
    let expected =
      high == .greatestFiniteMagnitude
      ? "a number from \(low) on" : "a number from \(low) to \(high)"
    guard has(key) else {
      if let value { return value }
      throw wrong(key, expected)
    }
    guard let number = scalar(key).flatMap({ Double($0) }), range.contains(number) else {
      throw wrong(key, expected)
    }
    return number
  }

  func bool(_ key: String, default value: Bool) throws(ConfigurationError) -> Bool {
    guard has(key) else { return value }
    switch scalar(key) {
    case "true": return true
    case "false": return false
    default: throw wrong(key, "true or false")
    }
  }

  package func text(_ key: String, default value: String? = nil) throws(ConfigurationError)
    -> String
  {
    if !has(key), let value { return value }
    guard let text = scalar(key) else { throw wrong(key, "text") }
    return text
  }

  /// A text that has to be one of `names`.
  func choice(_ key: String, of names: [String], default value: String? = nil)
    throws(ConfigurationError) -> String
  {
    if !has(key), let value { return value }
    guard let text = scalar(key) else {
      throw wrong(key, "one of \(names.joined(separator: ", "))")
    }
    guard names.contains(text) else {
      throw ConfigurationError(
        place(key), "unknown \(Self.join(path, key)) \"\(text)\"" + suggestion(text, names))
    }
    return text
  }

  func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, default value: Choice)
    throws(ConfigurationError) -> Choice where Choice.RawValue == String
  {
    let name = try choice(key, of: Choice.allCases.map(\.rawValue), default: value.rawValue)
    return Choice(rawValue: name) ?? value
  }

  func ints(_ key: String, default value: [Int]? = nil, in range: ClosedRange<Int>)
    throws(ConfigurationError) -> [Int]
  {
    if !has(key), let value { return value }
    let expected = "a list of whole numbers from \(range.lowerBound) to \(range.upperBound)"
    guard case .sequence(let nodes)? = entries[key]?.value.content, !nodes.isEmpty else {
      throw wrong(key, expected)
    }
    var numbers: [Int] = []
    for node in nodes {
      guard case .scalar(let text) = node.content, let number = Int(text), range.contains(number)
      else {
        throw ConfigurationError(
          node.place, "\(Self.join(path, key)) holds \(node.kind), expected \(expected)")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// A list of exactly `count` numbers.
  func doubles(_ key: String, count: Int, default value: [Double], in range: Range<Double>)
    throws(ConfigurationError) -> [Double]
  {
    guard has(key) else { return value }
    let expected =
      "a list of \(count) numbers from \(range.lowerBound) to below \(range.upperBound)"
    guard case .sequence(let nodes)? = entries[key]?.value.content, nodes.count == count else {
      throw wrong(key, expected)
    }
    var numbers: [Double] = []
    for node in nodes {
      guard case .scalar(let text) = node.content, let number = Double(text),
        range.contains(number)
      else { throw wrong(key, expected) }
      numbers.append(number)
    }
    return numbers
  }

  /// Stores a norm's setting in `settings` if it is given.
  func decode(_ setting: any NormSettingDescription, into settings: inout NormSettings)
    throws(ConfigurationError)
  {
    let key = setting.name
    guard has(key) || isNull(key) && setting.acceptsNull else { return }
    if isNull(key) {
      _ = setting.store(nil, in: &settings)
      return
    }
    if let choices = setting.choices { _ = try choice(key, of: choices) }
    guard let text = scalar(key), setting.store(text, in: &settings) else {
      throw wrong(key, setting.expected)
    }
  }

  /// The mapping of an inner section; nil if it is not given.
  func node(_ key: String) -> ConfigurationNode? { isNull(key) ? nil : entries[key]?.value }

  /// The mapping of an inner section; empty if it is not given.
  func nodeOrEmpty(_ key: String) -> ConfigurationNode {
    node(key) ?? ConfigurationNode(content: .mapping([]), place: place)
  }

  /// The mapping of an inner section that has to be given.
  package func requiredNode(_ key: String) throws(ConfigurationError) -> ConfigurationNode {
    guard let node = node(key) else { throw wrong(key, "a mapping") }
    return node
  }
}
