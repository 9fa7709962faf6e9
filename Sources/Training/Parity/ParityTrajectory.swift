import Autograd
import DataParallel
import Datasets
import Foundation
import Models
import Norms
import Optimizers
import Tensors

/// Another framework's training run: its first parameters, its batches, and the losses and last
/// parameters that it got from them.
struct ParityTrajectory {
  private let file: SafetensorsFile
  private let model: ModelConfiguration
  private let optimizer: OptimizerSettings
  private let learningRate: Double
  private let steps: Int

  /// The kind of norm that was trained.
  var norm: String { model.norm.kind.rawValue }

  init(_ json: String, file: SafetensorsFile) throws {
    self.file = file
    let section = try ConfigurationSection(
      ConfigurationNode.parse(json, name: "\(file.path)'s metadata"), path: "",
      keys: ["model", "optimizer", "steps"])
    model = try ModelConfiguration(
      section.requiredNode("model"), path: "model", describesInput: true)
    (optimizer, learningRate) = try RunConfiguration.optimizer(
      section.requiredNode("optimizer"), path: "optimizer")
    steps = try section.int("steps", in: ConfigurationLimits.count)
  }

  /// Trains on the recorded batches, each shared out over the ranks.
  ///
  /// - Returns: the largest relative error of the losses, and of the last state.
  func replay(context: RankContext) throws -> [String: Double] {
    guard let input = model.input, let x = samples,
      case .int64(let labels, let labelShape)? = file.tensors["y"],
      case .float32(let losses)? = file.tensors["losses"], x.shape[0] == steps,
      losses.shape == [steps], fits(x.shape, labelShape, input.shape)
    else {
      throw StateError(
        description:
          "\(file.path): expected float32 x [S, B, C, H, W] and int64 y [S, B], or int64 x and y "
          + "[S, B, T] with tokens of the vocabulary, and float32 losses [S]")
    }
    let each = labels.count / max(steps * x.shape[1], 1)
    if let label = labels.first(where: { $0 < 0 || $0 >= input.classes }) {
      throw StateError(description: "\(file.path): label \(label) is not one of \(input.classes)")
    }
    try RunCheck.statisticsGroup(
      model.norm, at: "\(file.path)'s metadata", ranks: context.size)
    let network = model.make(
      input: input.shape, classes: input.classes, seed: 0,
      synchronized: try context.scope(of: model.norm.statisticsGroup))
    try StateDictionary(file, prefix: "init.").load(into: network, ties: model.ties)
    let step = TrainingStep(network, optimizer: optimizer, context: context)
    let samples = x.shape[1]
    let image = Shape(Array(x.shape.dimensions[2...]))
    let mine = share(context.rank, of: context.size, in: 0..<samples)
    var lossError = 0.0
    for s in 0..<steps {
      let first = s * samples + mine.lowerBound
      let input = Tensor(
        x.storage, offset: x.offset + first * image.count,
        shape: Shape([mine.count] + image.dimensions)
      ).channelsLast()
      let result = try step.run(
        number: s + 1, labels: samples * each, accumulate: 1, learningRate: learningRate
      ) { _ in
        MicroBatch(
          batch: Batch(
            input: input,
            labels: Storage(
              labels[first * each..<(first + mine.count) * each].map(Int32.init))),
          origin: SampleOrigin(seed: 0, step: s, firstSlot: mine.lowerBound))
      }
      let expected = Double(losses.storage[losses.offset + s])
      lossError = max(lossError, abs(result.loss - expected) / max(abs(expected), 1e-12))
    }
    return ["losses": lossError, "final": try finalError(network)]
  }

  /// x, tokens as floats.
  private var samples: Tensor? {
    switch file.tensors["x"] {
    case .float32(let x)? where x.shape.rank == 5: x
    case .int64(let tokens, let shape)?
    where shape.rank == 3 && tokens.allSatisfy { $0 >= 0 && $0 < model.input?.classes ?? 0 }:
      Tensor(tokens.map(Float.init), shape: shape)
    default: nil
    }
  }

  private func fits(_ x: Shape, _ labels: Shape, _ input: Shape) -> Bool {
    x.rank == 3
      ? labels == x && x[2] <= input[0]
      : labels == [x[0], x[1]]
        && x.dimensions[2...].elementsEqual([input[2], input[0], input[1]])
  }

  private func finalError(_ network: Model) throws(StateError) -> Double {
    let state = StateDictionary(network).tensors
    var error = 0.0
    for (name, expected) in StateDictionary(file, prefix: "final.").tensors {
      switch (state[name], expected) {
      case (.float32(let a)?, .float32(let b)):
        error = max(error, parityError(a.elements, b.elements))
      case (.int64(let a, _)?, .int64(let b, _)):
        error = max(error, a == b ? 0 : .greatestFiniteMagnitude)
      default:
        throw StateError(description: "\(file.path): the model has no \"\(name)\" of that type")
      }
    }
    return error
  }
}
