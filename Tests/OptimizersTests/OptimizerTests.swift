import Foundation
import LockstepAutograd
import LockstepOptimizers
import LockstepTensors
import Testing

@Suite struct OptimizerTests {
  private static let sizes = [1, 7, 33]
  private static let rates = [0.1, 0.05, 0.2, 0.1, 0.01, 0.1]

  /// One parameter of each size, updated by float64 rules and by the optimizer, with the same
  /// random gradients and a rate that changes from step to step.
  private func compare(
    _ settings: OptimizerSettings,
    _ rule: (_ p: inout Double, _ g: Double, _ state: inout [Double], _ rate: Double, _ t: Int)
      -> Void
  ) {
    var random = RandomStream(seed: 3, site: .synthetic)
    let parameters = Self.sizes.map { size in
      Parameter("\(size)", Tensor((0..<size).map { _ in random.normal() }, shape: [size]))
    }
    var expected = parameters.map { $0.value.elements.map(Double.init) }
    var state = Self.sizes.map { [[Double]](repeating: [0, 0], count: $0) }
    let optimizer = Optimizer(settings, parameters)
    for (step, rate) in Self.rates.enumerated() {
      let gradients = Self.sizes.map { size in
        Tensor((0..<size).map { _ in random.normal() }, shape: [size])
      }
      optimizer.step(learningRate: rate, gradients: gradients)
      for i in expected.indices {
        for j in expected[i].indices {
          let g = Double(gradients[i].elements[j])
          rule(&expected[i][j], g, &state[i][j], rate, step + 1)
          let found = Double(parameters[i].value.elements[j])
          #expect(
            abs(found - expected[i][j]) < 2e-6 * max(1, abs(expected[i][j])),
            "step \(step + 1), element \(j) of \(Self.sizes[i]): \(found), not \(expected[i][j])")
        }
      }
    }
    #expect(optimizer.steps == Self.rates.count)
  }

  @Test(arguments: [(0.0, false, 0.0), (0.9, false, 0.0), (0.9, false, 0.01), (0.8, true, 0.01)])
  func sgdFollowsItsRule(momentum: Double, nesterov: Bool, decay: Double) {
    compare(.sgd(momentum: momentum, nesterov: nesterov, weightDecay: decay)) {
      p, g, state, rate, t in
      let d = g + decay * p
      state[0] = t == 1 ? d : momentum * state[0] + d
      p -= rate * (nesterov ? d + momentum * state[0] : state[0])
    }
  }

  @Test(arguments: [0.0, 0.1], [(0.9, 0.99), (0.999, 0.9999), (0.999999, 0.99999999), (0, 0)])
  func adamWFollowsItsRule(decay: Double, betas: (Double, Double)) {
    let ((b1, b2), epsilon) = (betas, 1e-6)
    compare(.adamW(beta1: b1, beta2: b2, epsilon: epsilon, weightDecay: decay)) {
      p, g, state, rate, t in
      p -= rate * decay * p
      state[0] = b1 * state[0] + (1 - b1) * g
      state[1] = b2 * state[1] + (1 - b2) * g * g
      let first = state[0] / (1 - pow(b1, Double(t)))
      let second = state[1] / (1 - pow(b2, Double(t)))
      p -= rate * first / (second.squareRoot() + epsilon)
    }
  }
}
