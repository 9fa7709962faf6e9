/// A setting of a norm, described once: configurations are read, checked and written by it.
public protocol NormSettingDescription: Sendable {
  /// Its key in a configuration.
  var name: String { get }
  /// What it has to be, in words.
  var expected: String { get }
  /// The values that there are; nil where it is no choice among names.
  var choices: [String]? { get }
  /// Whether null is a value.
  var acceptsNull: Bool { get }
  /// Takes in the value that a configuration gives, nil for null; false where it is invalid.
  func store(_ text: String?, in settings: inout NormSettings) -> Bool
  /// The value as a configuration gives it.
  func text(in settings: NormSettings) -> String
}

/// A setting of a norm with values of one type.
public struct NormSetting<Value: NormSettingValue>: NormSettingDescription {
  /// Its key in a configuration.
  public let name: String
  /// What it is where nothing is said.
  public let initial: Value
  /// What it has to be, in words.
  public let expected: String
  private let isValid: @Sendable (Value) -> Bool

  /// Describes a setting.
  public init(
    _ name: String, default initial: Value, expected: String,
    isValid: @escaping @Sendable (Value) -> Bool = { _ in true }
  ) {
    self.name = name
    self.initial = initial
    self.expected = expected
    self.isValid = isValid
  }

  /// The values that there are; nil where it is no choice among names.
  public var choices: [String]? { Value.choices }
  /// Whether null is a value.
  public var acceptsNull: Bool { Value(text: nil) != nil }

  /// Takes in the value that a configuration gives, nil for null; false where it is invalid.
  public func store(_ text: String?, in settings: inout NormSettings) -> Bool {
    guard let value = Value(text: text), isValid(value) else { return false }
    settings[self] = value
    return true
  }

  /// The value as a configuration gives it.
  public func text(in settings: NormSettings) -> String { settings[self].text }
}

extension NormSetting<Double> {
  /// A number within a range.
  public init(_ name: String, default initial: Double, in range: ClosedRange<Double>) {
    self.init(name, default: initial, expected: Self.text(range), isValid: range.contains)
  }

  static func text(_ range: ClosedRange<Double>) -> String {
    range.upperBound == .greatestFiniteMagnitude
      ? "a number from \(range.lowerBound) on"
      : "a number from \(range.lowerBound) to \(range.upperBound)"
  }
}

extension NormSetting<Double?> {
  /// A number within a range, or null.
  public init(_ name: String, default initial: Double?, in range: ClosedRange<Double>) {
    self.init(
      name, default: initial, expected: NormSetting<Double>.text(range),
      isValid: { $0.map(range.contains) ?? true })
  }
}

extension NormSetting<Int> {
  /// A whole number within a range.
  public init(_ name: String, default initial: Int, in range: ClosedRange<Int>) {
    self.init(
      name, default: initial,
      expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
      isValid: range.contains)
  }
}

extension NormSetting<Bool> {
  /// True or false.
  public init(_ name: String, default initial: Bool) {
    self.init(name, default: initial, expected: "true or false")
  }
}

extension NormSetting where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
  /// One of the values of a type.
  public init(_ name: String, default initial: Value) {
    self.init(
      name, default: initial,
      expected: "one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
  }
}

/// A type of which a setting can be.
public protocol NormSettingValue: Hashable, Sendable {
  /// The names of all values; nil where they are not few.
  static var choices: [String]? { get }
  /// The value that a configuration gives, nil for null; nil where it is invalid.
  init?(text: String?)
  /// The value as a configuration gives it.
  var text: String { get }
}

extension NormSettingValue {
  /// Not few values.
  public static var choices: [String]? { nil }
}

extension Double: NormSettingValue {
  /// The number that is written as `text`.
  public init?(text: String?) {
    guard let value = text.flatMap({ Double($0) }) else { return nil }
    self = value
  }
  /// All digits that tell the number from every other.
  public var text: String { "\(self)" }
}

extension Int: NormSettingValue {
  /// The number that is written as `text`.
  public init?(text: String?) {
    guard let value = text.flatMap({ Int($0) }) else { return nil }
    self = value
  }
  /// Its digits.
  public var text: String { "\(self)" }
}

extension Bool: NormSettingValue {
  /// "true" or "false".
  public init?(text: String?) {
    guard let value = text.flatMap(Bool.init) else { return nil }
    self = value
  }
  /// "true" or "false".
  public var text: String { "\(self)" }
}

extension Double?: NormSettingValue {
  /// The number that is written as `text`, or null.
  public init?(text: String?) {
    guard let text else {
      self = .none
      return
    }
    guard let value = Double(text) else { return nil }
    self = value
  }
  /// The number's digits, or "null".
  public var text: String { map { "\($0)" } ?? "null" }
}

extension NormSettingValue where Self: CaseIterable & RawRepresentable, RawValue == String {
  /// The names of all values.
  public static var choices: [String]? { allCases.map(\.rawValue) }
  /// The value of a name.
  public init?(text: String?) {
    guard let value = text.flatMap(Self.init(rawValue:)) else { return nil }
    self = value
  }
  /// The value's name.
  public var text: String { rawValue }
}
