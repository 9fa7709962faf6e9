import Glibc

/// The learning rate of each step.
public struct LearningRateSchedule: Hashable, Sendable {
  /// How the rate falls after warm-up.
  public enum Decay: Hashable, Sendable {
    /// The rate stays constant.
    case constant
    /// The rate is multiplied by `factor` at each of the `milestones`, which are steps.
    case step(milestones: [Int], factor: Double)
    /// The rate follows half a cosine down to `final` times the base rate (Loshchilov & Hutter, 2016).
    case cosine(final: Double = 0)
    /// The rate falls linearly to `final` times the base rate.
    case linear(final: Double = 0)
  }

  private let base: Double
  private let warmupSteps: Int
  private let totalSteps: Int
  private let decay: Decay

  /// A schedule over `totalSteps` steps; in the first `warmupSteps` the rate climbs to `base`.
  public init(base: Double, warmupSteps: Int, totalSteps: Int, decay: Decay) {
    self.base = base
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
    self.decay = decay
  }

  /// The rate of a step; steps count from 0.
  public func rate(at step: Int) -> Double {
    if step < warmupSteps { return base * Double(step + 1) / Double(warmupSteps) }
    let length = max(totalSteps - warmupSteps, 1)
    let progress = min(Double(step - warmupSteps) / Double(length), 1)
    switch decay {
    case .constant: return base
    case .step(let milestones, let factor):
      return base * pow(factor, Double(milestones.filter { $0 <= step }.count))
    case .cosine(let final):
      return base * (final + (1 - final) * (1 + cos(.pi * progress)) / 2)
    case .linear(let final): return base * (final + (1 - final) * (1 - progress))
    }
  }
}
