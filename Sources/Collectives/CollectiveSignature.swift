/// What ranks have to agree on before they issue a collective, besides its number.
public struct CollectiveSignature: Hashable, BitwiseCopyable, Sendable {
  /// The operation.
  public let kind: CollectiveKind
  /// The type of its elements.
  public let scalar: ScalarKind
  /// The root of a broadcast or gather; 0 for other collectives.
  public let root: Int32
  /// How many elements this rank gives.
  public let elements: Int
  /// What the collective is for.
  public let purpose: Purpose

  /// Describes a collective to which this rank gives `elements` elements.
  public init(
    _ kind: CollectiveKind, _ elements: Int = 0, of scalar: ScalarKind = .byte, root: Int = 0,
    for purpose: Purpose = .control
  ) {
    (self.kind, self.scalar, self.root) = (kind, scalar, Int32(truncatingIfNeeded: root))
    (self.elements, self.purpose) = (elements, purpose)
  }

  /// Kind, type and root as one number.
  var code: UInt64 {
    UInt64(kind.rawValue) | UInt64(scalar.rawValue) << 8
      | UInt64(UInt32(bitPattern: root)) << 16
  }

  /// The count on which ranks have to agree; -1 where it may differ.
  var agreedElements: Int { kind.mayDifferInCount ? -1 : elements }

  /// Everything on which ranks have to agree, as numbers to send.
  public var fields: [Int64] {
    [
      Int64(bitPattern: code), Int64(agreedElements), Int64(bitPattern: purpose.stableHash),
    ]
  }

  /// How many ``fields`` there are.
  static let fieldCount = 3

  /// Operation, count, type and purpose in words; the count only where ranks have to agree on it.
  public var text: String {
    var words = "the \(kind.name)"
    if kind.movesData {
      words += kind.mayDifferInCount ? " of \(scalar)" : " of \(elements) \(scalar)"
    }
    if kind == .broadcast { words += " from rank \(root)" }
    if kind == .gather { words += " to rank \(root)" }
    return kind.movesData || kind == .barrier ? words + " for \(purpose.text)" : words
  }

  /// ``text`` with the collective's number on a communicator.
  public func text(number: Int, on communicator: String) -> String {
    kind.movesData || kind == .barrier ? "\(text) (number \(number) on \(communicator))" : text
  }
}

extension Purpose {
  /// The purpose in words, such as "statistics of layer1.0.bn2, forward".
  public var text: String {
    switch self {
    case .control: "control"
    case .statistics(let site, let pass): "statistics of \(site.text), \(pass)"
    case .gradients(let bucket): "gradient bucket \(bucket)"
    case .computing(let layer, let pass, _): "computing of \(layer.text), \(pass)"
    }
  }

  /// A hash, the same on all ranks.
  var stableHash: UInt64 {
    switch self {
    case .control: 1
    case .statistics(let site, let pass):
      Fingerprint.mixed(site.stableHash, UInt64(pass.rawValue) + 2)
    case .gradients(let bucket): Fingerprint.mixed(4, UInt64(truncatingIfNeeded: bucket))
    case .computing(let layer, let pass, _):
      Fingerprint.mixed(layer.stableHash, UInt64(pass.rawValue) + 5)
    }
  }
}
