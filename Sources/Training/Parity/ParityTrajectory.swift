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
    steps = try section.int("steps", in: 1...Int.max)
  }

  /// Trains on the recorded batches, each shared out over the ranks.
  ///
  /// - Returns: the largest relative error of the losses, and of the last state.
  func replay(context: RankContext) throws -> [String: Double] {
    guard let input = model.input, case .float32(let x)? = file.tensors["x"],
      case .int64(let labels, let labelShape)? = file.tensors["y"],
      case .float32(let losses)? = file.tensors["losses"], x.shape.rank == 5,
      labelShape.rank == 2, x.shape[0] == steps, labelShape == [steps, x.shape[1]],
      losses.shape == [steps],
      x.shape.dimensions[2...].elementsEqual([input.shape[2], input.shape[0], input.shape[1]])
    else {
      throw StateError(
        description:
          "\(file.path): expected float32 x [S, B, C, H, W], int64 y [S, B] and float32 losses [S]")
    }
    try RunCheck.statisticsGroup(model, ranks: context.size)
    let network = model.make(
      ModelContext(
        input: input.shape, classes: input.classes, seed: 0,
        synchronized: try context.scope(of: model.norm.statisticsGroup)))
    try StateDictionary(file, prefix: "init.").load(into: network)
    let step = TrainingStep(network, optimizer: optimizer, context: context)
    let samples = x.shape[1]
    let image = Shape(Array(x.shape.dimensions[2...]))
    let mine = share(context.rank, of: context.size, in: 0..<samples)
    var lossError = 0.0
    for s in 0..<steps {
      let first = s * samples + mine.lowerBound
      let images = Tensor(
        x.storage, offset: x.offset + first * image.count,
        shape: Shape([mine.count] + image.dimensions)
      ).channelsLast()
      let result = try step.run(
        number: s + 1, samples: samples, accumulate: 1, learningRate: learningRate
      ) { _ in
        MicroBatch(
          images: images, labels: Storage(labels[first..<first + mine.count].map(Int32.init)))
      }
      let expected = Double(losses.storage[losses.offset + s])
      lossError = max(lossError, abs(result.loss - expected) / max(abs(expected), 1e-12))
    }
    return ["losses": lossError, "final": try finalError(network)]
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
