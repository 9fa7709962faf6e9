import LockstepAutograd
import LockstepConfiguration
import LockstepModels

extension Laboratory {
  /// A small transformer that learns sums and differences of digits within seconds.
  ///
  /// Experiments on a transformer's norms each change one thing about it.
  func arithmeticRun(steps: Int, _ assignments: [String] = []) throws -> RunConfiguration {
    try configuration(
      """
      model:
        kind: transformer
        context: 7
        width: 32
        heads: 2
        layers: 4
        norm: {kind: layer}
      data: {kind: arithmetic, digits: 1, samples: 1024}
      batch: 32
      steps: \(steps)
      optimizer: {kind: adamw, learningRate: 1e-2, betas: [0.9, 0.98]}
      schedule: {warmupSteps: \(steps / 10), decay: linear}
      """, assignments)
  }
}

extension RunConfiguration {
  /// The same run at another learning rate.
  func at(learningRate: Double) -> RunConfiguration {
    var copy = self
    copy.learningRate = learningRate
    return copy
  }
}

extension Model {
  /// The parameter of that name, which has to exist.
  func parameter(_ name: String) -> Parameter {
    guard let parameter = parameters.first(where: { $0.name == name }) else {
      preconditionFailure("no parameter \(name)")
    }
    return parameter
  }
}
