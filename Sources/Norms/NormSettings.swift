/// Which norm, and its settings; what a kind does not know is ignored by it.
public struct NormSettings: Hashable, Sendable {
  /// Which norm.
  public var kind: NormKind
  /// What differs from the defaults, as text.
  private var values: [String: String] = [:]

  /// The default settings of a kind.
  public init(_ kind: NormKind) { self.kind = kind }

  /// The value of a setting.
  public subscript<Value>(setting: NormSetting<Value>) -> Value {
    get {
      guard let text = values[setting.name] else { return setting.initial }
      guard let value = Value(text: text == Self.null && setting.acceptsNull ? nil : text) else {
        preconditionFailure("setting \(setting.name) holds \"\(text)\"")
      }
      return value
    }
    set { values[setting.name] = newValue == setting.initial ? nil : newValue.text }
  }

  private static let null = "null"

  /// The norm of the kind, which has to be registered.
  public var norm: any Norm.Type {
    guard let norm = NormRegistry[kind] else {
      preconditionFailure("norm \"\(kind.rawValue)\" is not registered")
    }
    return norm
  }

  /// Whether the norm takes its statistics over a batch, and so keeps running statistics.
  public var usesBatchStatistics: Bool { norm.statistics == .batch }

  /// Whether the norm takes its statistics over the ranks of its statistics group.
  public var synchronizes: Bool { norm.synchronizes(self) }
}

/// The settings that several norms have.
extension NormSetting where Value == Double {
  /// Added to the variance; for scale and l2 norm the least length that divides.
  public static let epsilon = NormSetting("epsilon", default: 1e-5, in: 0...1)
}

extension NormSetting where Value == Bool {
  /// Whether a learned gain and bias follow.
  public static let affine = NormSetting("affine", default: true)
}

extension NormSettings {
  /// Added to the variance; for scale and l2 norm the least length that divides.
  public var epsilon: Double {
    get { self[.epsilon] }
    set { self[.epsilon] = newValue }
  }

  /// Whether a learned gain and bias follow.
  public var affine: Bool {
    get { self[.affine] }
    set { self[.affine] = newValue }
  }
}
