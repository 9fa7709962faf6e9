/// The numbers of one step of SGD.
public struct SGDStep: Sendable {
  /// The learning rate.
  public var rate: Float
  /// The momentum, 0 for none.
  public var momentum: Float
  /// The weight decay, added to the gradient.
  public var decay: Float
  /// Whether the step looks ahead (Nesterov).
  public var nesterov: Bool
  /// Whether the velocity begins with this step's gradient.
  public var first: Bool

  /// Creates a step.
  public init(rate: Float, momentum: Float, decay: Float, nesterov: Bool, first: Bool) {
    self.rate = rate
    self.momentum = momentum
    self.decay = decay
    self.nesterov = nesterov
    self.first = first
  }
}

/// The numbers of one step of AdamW.
public struct AdamWStep: Sendable {
  /// The learning rate.
  public var rate: Float
  /// The decay of the first moment.
  public var beta1: Float
  /// The decay of the second moment.
  public var beta2: Float
  /// Added to the root of the second moment.
  public var epsilon: Float
  /// The decoupled weight decay.
  public var decay: Float
  /// 1 − β₁ᵗ.
  public var correction1: Float
  /// √(1 − β₂ᵗ).
  public var correction2: Float

  /// Creates a step.
  public init(
    rate: Float, beta1: Float, beta2: Float, epsilon: Float, decay: Float, correction1: Float,
    correction2: Float
  ) {
    self.rate = rate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.decay = decay
    self.correction1 = correction1
    self.correction2 = correction2
  }
}

// One optimizer step over `count` parameters p with gradients g and state, as PyTorch orders
// the operations. These loops vectorize as they stand.

/// g′ = g + decay·p; v = momentum·v + g′ (v = g′ at first); p −= rate · (v, or g′ + momentum·v).
@_alwaysEmitIntoClient @inline(__always)
public func sgdLoop(_ p: Output, _ g: Input, _ v: Output, _ count: Int, _ s: SGDStep) {
  for i in 0..<count {
    let d = g[i].addingProduct(s.decay, p[i])
    let velocity = s.first ? d : d.addingProduct(s.momentum, v[i])
    v[i] = velocity
    let step = s.nesterov ? d.addingProduct(s.momentum, velocity) : velocity
    p[i] = p[i].addingProduct(-s.rate, step)
  }
}

/// p ·= 1 − rate·decay; m, v the moments; p −= rate/c₁ · m / (√v/c₂ + ε).
@_alwaysEmitIntoClient @inline(__always)
public func adamWLoop(
  _ p: Output, _ g: Input, _ m: Output, _ v: Output, _ count: Int, _ s: AdamWStep
) {
  let shrink = 1 - s.rate * s.decay
  let size = s.rate / s.correction1
  for i in 0..<count {
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * g[i]
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * g[i] * g[i]
    p[i] = shrink * p[i] - size * m[i] / (v[i].squareRoot() / s.correction2 + s.epsilon)
  }
}
