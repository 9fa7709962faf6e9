public import LockstepAutograd
import LockstepFloatLoops
import LockstepKernels
public import LockstepTensors

/// The kind of optimizer, with its settings.
public enum OptimizerSettings: Hashable, Sendable {
  /// Stochastic gradient descent; weight decay is added to the gradient.
  case sgd(momentum: Double = 0, nesterov: Bool = false, weightDecay: Double = 0)
  /// Adam with decoupled weight decay (Loshchilov & Hutter, 2017,
  /// <https://arxiv.org/abs/1711.05101>).
  case adamW(
    beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0.01)
}

/// Updates parameters from their gradients, with one state for each parameter.
///
/// Operations have the same order as in PyTorch.
public final class Optimizer {
  private let settings: OptimizerSettings
  private let parameters: [Parameter]
  private let first: [Tensor]
  private let second: [Tensor]
  /// The number of steps taken.
  public private(set) var steps = 0

  /// Creates an optimizer of `parameters` that has taken no step.
  public init(_ settings: OptimizerSettings, _ parameters: [Parameter]) {
    self.settings = settings
    self.parameters = parameters
    first = parameters.map { .zeros($0.value.shape) }
    if case .adamW = settings {
      second = parameters.map { .zeros($0.value.shape) }
    } else {
      second = []
    }
  }

  /// The state of each parameter, in the optimizer's own memory: `first.NAME`, and AdamW's `second.NAME`.
  ///
  /// Gradient descent without momentum has no state.
  public var state: [(name: String, value: Tensor)] {
    if case .sgd(momentum: 0, _, _) = settings { return [] }
    return [("first", first), ("second", second)].flatMap { kind, tensors in
      zip(parameters, tensors).map { ("\(kind).\($0.name)", $1) }
    }
  }

  /// Tells the optimizer that ``state`` now holds the state after a given number of steps.
  public func resume(after steps: Int) { self.steps = steps }

  /// Updates every parameter.
  ///
  /// - Parameters:
  ///   - learningRate: The schedule's rate for this step.
  ///   - gradients: The gradients summed over all ranks, in the parameters' order.
  public func step(learningRate: Double, gradients: [Tensor]) {
    precondition(gradients.count == parameters.count)
    steps += 1
    switch settings {
    case .sgd(let momentum, let nesterov, let weightDecay):
      let step = SGDStep(
        rate: Float(learningRate), momentum: Float(momentum), decay: Float(weightDecay),
        nesterov: nesterov, first: steps == 1)
      for (i, parameter) in parameters.enumerated() {
        Kernel.sgd(parameter.value, gradient: gradients[i], velocity: first[i], step: step)
      }
    case .adamW(let beta1, let beta2, let epsilon, let weightDecay):
      let step = AdamWStep(
        rate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon, decay: weightDecay,
        step: steps)
      for (i, parameter) in parameters.enumerated() {
        Kernel.adamW(
          parameter.value, gradient: gradients[i], first: first[i], second: second[i], step: step)
      }
    }
  }
}
