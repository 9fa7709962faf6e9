public import CIntrinsics
import Glibc
public import LockstepVectors

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

/// The numbers of one step of AdamW, each rounded once: 1 − β of a float32 β would have lost its digits.
public struct AdamWStep: Sendable {
  /// β₁, the decay of the first moment.
  public var beta1: Float
  /// 1 − β₁.
  public var weight1: Float
  /// β₂, the decay of the second moment.
  public var beta2: Float
  /// 1 − β₂.
  public var weight2: Float
  /// Added to the root of the second moment.
  public var epsilon: Float
  /// 1 − rate · decay, by which parameters shrink.
  public var shrink: Float
  /// rate / (1 − β₁ᵗ).
  public var size: Float
  /// √(1 − β₂ᵗ).
  public var correction2: Float

  /// The numbers of step `step`, from 1.
  public init(
    rate: Double, beta1: Double, beta2: Double, epsilon: Double, decay: Double, step: Int
  ) {
    /// 1 − βᵗ, without the difference of two numbers near 1.
    func correction(_ beta: Double) -> Double { -expm1(Double(step) * log(beta)) }
    (self.beta1, weight1) = (Float(beta1), Float(1 - beta1))
    (self.beta2, weight2) = (Float(beta2), Float(1 - beta2))
    self.epsilon = Float(epsilon)
    shrink = Float(1 - rate * decay)
    size = Float(rate / correction(beta1))
    correction2 = Float(correction(beta2).squareRoot())
  }
}

// One optimizer step over `count` parameters p with gradients g and state, as PyTorch orders
// the operations. SGD's loop vectorizes as it stands; a square root does not.

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

/// p ·= 1 − rate·decay; m, v the moments; p −= rate/c₁ · m / (√v/c₂ + ε), c₁ = 1 − β₁ᵗ, c₂ = √(1 − β₂ᵗ).
public func adamWReference(
  _ p: Output, _ g: Input, _ m: Output, _ v: Output, _ count: Int, _ s: AdamWStep
) {
  for i in 0..<count { adamWElement(p, g, m, v, i, s) }
}

/// One parameter's step.
@_alwaysEmitIntoClient @_transparent
public func adamWElement(
  _ p: Output, _ g: Input, _ m: Output, _ v: Output, _ i: Int, _ s: AdamWStep
) {
  m[i] = s.beta1 * m[i] + s.weight1 * g[i]
  v[i] = s.beta2 * v[i] + s.weight2 * g[i] * g[i]
  p[i] = s.shrink * p[i] - s.size * m[i] / (v[i].squareRoot() / s.correction2 + s.epsilon)
}

/// The vector form of ``adamWReference``.
@_alwaysEmitIntoClient @inline(__always)
public func adamWLoop(
  _ p: Output, _ g: Input, _ m: Output, _ v: Output, _ count: Int, _ s: AdamWStep
) {
  var i = 0
  while i < vectorized(count) {
    let slope = load(g, i)
    let first = s.beta1 * load(m, i) + s.weight1 * slope
    let second = s.beta2 * load(v, i) + s.weight2 * slope * slope
    let root = square_root(second) / Vector(repeating: s.correction2)
    prefetchRead(g, i)
    prefetchWrite(p, i)
    prefetchWrite(m, i)
    prefetchWrite(v, i)
    store(first, m, i)
    store(second, v, i)
    store(s.shrink * load(p, i) - s.size * first / (root + s.epsilon), p, i)
    i += 16
  }
  while i < count {
    adamWElement(p, g, m, v, i, s)
    i += 1
  }
}
