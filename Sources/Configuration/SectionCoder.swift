import LockstepFiles
import Yams

/// A section of a configuration that describes its keys once, for reading, checking and writing.
protocol DescribedSection {
  /// Visits every key together with its value, which keeps its default if the key is not given.
  mutating func describe(_ coder: inout SectionCoder) throws(ConfigurationError)
}

/// A section whose other keys depend on its `kind`.
protocol SectionOfKinds: DescribedSection {
  /// Every kind's name, and its initial value.
  static var kinds: [(name: String, initial: Self)] { get }
  /// The name of the value's kind.
  var kindName: String { get }
}

/// Visits the keys of a section: to list them, to read their values, or to write them.
struct SectionCoder {
  private enum Direction {
    case listing
    case reading(ConfigurationSection)
    case writing
  }

  private let direction: Direction
  /// The section's path.
  let path: String
  /// The keys that were visited, in order.
  private(set) var keys: [String] = []
  private var pairs: [(String, Node)] = []

  private init(_ direction: Direction, path: String) {
    (self.direction, self.path) = (direction, path)
  }

  /// Whether all keys are being listed, whatever the values are.
  var isListing: Bool { if case .listing = direction { true } else { false } }

  /// The section that values are read from; nil when listing or writing.
  var section: ConfigurationSection? {
    if case .reading(let section) = direction { section } else { nil }
  }

  /// Visits a key: `read` reads its value, and `node` is what is written for it.
  mutating func visit(
    _ key: String, as node: @autoclosure () -> Node?,
    _ read: (ConfigurationSection) throws(ConfigurationError) -> Void
  ) throws(ConfigurationError) {
    keys.append(key)
    switch direction {
    case .listing: break
    case .reading(let section): try read(section)
    case .writing: if let node = node() { pairs.append((key, node)) }
    }
  }

  mutating func int(
    _ key: String, _ value: inout Int, isRequired: Bool = false, in range: ClosedRange<Int>
  ) throws(ConfigurationError) {
    try visit(key, as: .of(value)) { section throws(ConfigurationError) in
      value = try section.int(key, default: isRequired ? nil : value, in: range)
    }
  }

  mutating func int(_ key: String, _ value: inout Int?, in range: ClosedRange<Int>)
    throws(ConfigurationError)
  {
    try visit(key, as: value.map { .of($0) }) { section throws(ConfigurationError) in
      value = section.has(key) ? try section.int(key, in: range) : nil
    }
  }

  mutating func double(
    _ key: String, _ value: inout Double, isRequired: Bool = false, in range: ClosedRange<Double>
  ) throws(ConfigurationError) {
    try visit(key, as: .of(value)) { section throws(ConfigurationError) in
      value = try section.double(key, default: isRequired ? nil : value, in: range)
    }
  }

  mutating func double(_ key: String, _ value: inout Double?, in range: ClosedRange<Double>)
    throws(ConfigurationError)
  {
    try visit(key, as: value.map { .of($0) }) { section throws(ConfigurationError) in
      value = section.has(key) ? try section.double(key, in: range) : nil
    }
  }

  mutating func bool(_ key: String, _ value: inout Bool) throws(ConfigurationError) {
    try visit(key, as: .of(value)) { section throws(ConfigurationError) in
      value = try section.bool(key, default: value)
    }
  }

  mutating func text(_ key: String, _ value: inout String, isRequired: Bool = false)
    throws(ConfigurationError)
  {
    try visit(key, as: .text(value)) { section throws(ConfigurationError) in
      value = try section.text(key, default: isRequired ? nil : value)
    }
  }

  mutating func choice(_ key: String, _ value: inout String, of names: [String])
    throws(ConfigurationError)
  {
    try visit(key, as: .of(value)) { section throws(ConfigurationError) in
      value = try section.choice(key, of: names, default: value)
    }
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ value: inout Choice
  )
    throws(ConfigurationError) where Choice.RawValue == String
  {
    try visit(key, as: .of(value.rawValue)) { section throws(ConfigurationError) in
      value = try section.choice(key, default: value)
    }
  }

  mutating func ints(_ key: String, _ value: inout [Int], in range: ClosedRange<Int>)
    throws(ConfigurationError)
  {
    try visit(key, as: .list(value)) { section throws(ConfigurationError) in
      value = try section.ints(key, in: range)
    }
  }

  /// Visits an inner section, which has to be given if it `isRequired`.
  mutating func section(
    _ key: String, _ value: inout some DescribedSection, isRequired: Bool = false
  ) throws(ConfigurationError) {
    let inner = path.isEmpty ? key : "\(path).\(key)"
    try visit(key, as: Self.node(of: value)) { section throws(ConfigurationError) in
      try Self.read(
        isRequired ? section.requiredNode(key) : section.nodeOrEmpty(key), path: inner,
        into: &value)
    }
  }

  /// Visits an inner section; if it is not given, its value stays as it is.
  mutating func givenSection(_ key: String, _ value: inout some DescribedSection)
    throws(ConfigurationError)
  {
    let inner = path.isEmpty ? key : "\(path).\(key)"
    try visit(key, as: Self.node(of: value)) { section throws(ConfigurationError) in
      guard let node = section.node(key) else { return }
      try Self.read(node, path: inner, into: &value)
    }
  }

  mutating func section(
    _ key: String, _ value: inout some SectionOfKinds, isRequired: Bool = false
  ) throws(ConfigurationError) {
    let inner = path.isEmpty ? key : "\(path).\(key)"
    try visit(key, as: Self.node(of: value)) { section throws(ConfigurationError) in
      try Self.readKind(
        isRequired ? section.requiredNode(key) : section.nodeOrEmpty(key), path: inner,
        into: &value)
    }
  }

  /// Visits several keys, each of which stands for one case of a value.
  ///
  /// - Parameters:
  ///   - cases: The keys; for each, how its case is read, and what is written if the value is that case.
  ///   - value: The value.
  ///   - both: The error message if two of the keys are given.
  ///   - none: The error message if no key is given; nil if none is required.
  /// - Throws: ``ConfigurationError`` if two keys are given, or none although one is required.
  mutating func oneOf<Value>(
    _ cases: [(
      key: String, read: (ConfigurationSection) throws(ConfigurationError) -> Value,
      node: (Value) -> Node?
    )],
    _ value: inout Value, both: String, none: String?
  ) throws(ConfigurationError) {
    var given: [String] = []
    for (key, read, node) in cases {
      try visit(key, as: node(value)) { section throws(ConfigurationError) in
        guard section.has(key) else { return }
        given.append(key)
        guard given.count == 1 else { throw ConfigurationError(section.place(key), both) }
        value = try read(section)
      }
    }
    if let section, let none, given.isEmpty { throw ConfigurationError(section.place, none) }
  }

  /// Reads a section into `value`; a key that `describe` does not visit is an error.
  static func read<Value: DescribedSection>(
    _ node: ConfigurationNode, path: String, into value: inout Value
  ) throws(ConfigurationError) {
    let section = try ConfigurationSection(node, path: path, keys: keys(of: value, path: path))
    var reading = SectionCoder(.reading(section), path: path)
    try value.describe(&reading)
  }

  /// Reads the kind, and then the keys of that kind.
  static func readKind<Value: SectionOfKinds>(
    _ node: ConfigurationNode, path: String, into value: inout Value,
    among kinds: [(name: String, initial: Value)] = Value.kinds
  ) throws(ConfigurationError) {
    var all = ["kind"]
    for kind in kinds {
      all += try keys(of: kind.initial, path: path).filter { !all.contains($0) }
    }
    let name = try ConfigurationSection(node, path: path, keys: all)
      .choice("kind", of: kinds.map(\.name))
    if let kind = kinds.first(where: { $0.name == name }) { value = kind.initial }
    let own = try ["kind"] + keys(of: value, path: path)
    var reading = SectionCoder(
      .reading(try ConfigurationSection(node, path: path, keys: own)), path: path)
    try value.describe(&reading)
  }

  private static func keys(of value: some DescribedSection, path: String)
    throws(ConfigurationError) -> [String]
  {
    var (copy, listing) = (value, SectionCoder(.listing, path: path))
    try copy.describe(&listing)
    return listing.keys
  }

  /// The section as it is written; nil if it has nothing to write.
  static func node(of value: some DescribedSection) -> Node? {
    let pairs = pairs(of: value)
    return pairs.isEmpty ? nil : .mapping(pairs)
  }

  /// The section as it is written, with its kind first.
  static func node<Value: SectionOfKinds>(of value: Value) -> Node? {
    .mapping([("kind", .of(value.kindName))] + pairs(of: value))
  }

  private static func pairs(of value: some DescribedSection) -> [(String, Node)] {
    var (copy, writing) = (value, SectionCoder(.writing, path: ""))
    do { try copy.describe(&writing) } catch { preconditionFailure("\(error)") }
    return writing.pairs
  }
}

extension Node {
  /// A scalar with the value's description.
  static func of(_ value: some CustomStringConvertible) -> Node {
    .scalar(Node.Scalar(value.description))
  }

  /// A text, quoted if it would otherwise be read as null.
  static func text(_ value: String) -> Node {
    let isNull = ConfigurationNode.nulls.contains(value)
    return .scalar(Node.Scalar(value, .implicit, isNull ? .doubleQuoted : .any))
  }

  /// A list on one line.
  static func list(_ values: [some CustomStringConvertible]) -> Node {
    .sequence(Node.Sequence(values.map { of($0) }, .implicit, .flow))
  }

  /// A mapping in the order of its pairs.
  static func mapping(_ pairs: [(String, Node)]) -> Node {
    .mapping(Node.Mapping(pairs.map { (of($0.0), $0.1) }))
  }
}
