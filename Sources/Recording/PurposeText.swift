public import LockstepCollectives

extension Purpose {
  /// "statistics", "gradients", "control" or "computing".
  public var kind: String {
    switch self {
    case .statistics: "statistics"
    case .gradients: "gradients"
    case .control: "control"
    case .computing: "computing"
    }
  }

  /// The layer, the bucket, or "control".
  public var site: String {
    switch self {
    case .statistics(let layer, _), .computing(let layer, _, _): layer.text
    case .gradients(let bucket): "bucket \(bucket)"
    case .control: "control"
    }
  }

  /// The pass; for control traffic, the forward one.
  public var pass: Pass {
    switch self {
    case .statistics(_, let pass), .computing(_, let pass, _): pass
    case .gradients: .backward
    case .control: .forward
    }
  }

  /// The purpose in a few words.
  public var label: String {
    switch self {
    case .statistics(let layer, let pass): "statistics \(layer.text) \(pass)"
    case .gradients(let bucket): "gradients bucket \(bucket)"
    case .control: "control"
    case .computing(let layer, let pass, _): "\(layer.text) \(pass)"
    }
  }
}
