import Foundation
import LockstepAutograd
import LockstepCheckpoints
import LockstepConfiguration
import LockstepDataParallel
import LockstepDatasets
import LockstepFiles
import LockstepModels
import LockstepNorms
import LockstepOptimizers
import LockstepSafetensors
import LockstepTensors
import LockstepTraining

/// Another framework's training run: its initial parameters and batches, and the losses and final parameters
/// that it computed.
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
      keys: ["model", "optimizer", "steps", "precision"])
    if section.has("precision") {
      try ParityCase.check(section.text("precision"), file.path)
    }
    model = try ModelConfiguration(
      describingInput: section.requiredNode("model"), path: "model")
    (optimizer, learningRate) = try RunConfiguration.optimizer(
      section.requiredNode("optimizer"), path: "optimizer")
    steps = try section.int("steps", in: ConfigurationLimits.count)
  }

  /// Trains on the recorded batches, each shared out over the ranks.
  ///
  /// - Returns: The largest relative error of the losses, and the largest error of the final state.
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
    let batches = TrajectoryBatches(
      samples: x, sampleShape: Shape(Array(x.shape.dimensions[2...])), classes: input.classes,
      labels: labels.map(Int32.init), labelsPerSample: each)
    var settings = TrainerSettings(
      batch: .global(x.shape[1]), length: .steps(steps), optimizer: optimizer,
      learningRate: learningRate)
    settings.shuffles = false
    let trainer = try Trainer(
      network, DataSplit(train: batches, test: batches), settings, over: context)
    var lossError = 0.0
    while let step = try trainer.next() {
      let expected = Double(losses.storage[losses.offset + step.step - 1])
      lossError = max(lossError, abs(step.loss - expected) / max(abs(expected), 1e-12))
    }
    return ["losses": lossError, "final": try finalError(network)]
  }

  /// The samples x, with tokens as floats; nil if the file has none of a valid shape.
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

/// The batches of a trajectory, in their order.
private struct TrajectoryBatches: Dataset {
  /// All samples, `[steps, samples, …]`, with the channels of images first.
  let samples: Tensor
  /// `[C, H, W]` of an image, or `[T]`.
  let sampleShape: Shape
  let classes: Int
  let labels: [Int32]
  let labelsPerSample: Int

  var count: Int { samples.shape[0] * samples.shape[1] }

  var shape: Shape {
    sampleShape.rank == 3 ? [sampleShape[1], sampleShape[2], sampleShape[0]] : sampleShape
  }

  func batch(_ indices: [Int], augmentation: (Int) -> Crop) -> Batch {
    let first = indices.first ?? 0
    precondition(indices.elementsEqual(first..<first + indices.count), "batches keep their order")
    let input = Tensor(
      samples.storage, offset: samples.offset + first * sampleShape.count,
      shape: Shape([indices.count] + sampleShape.dimensions))
    let these = first * labelsPerSample..<(first + indices.count) * labelsPerSample
    return Batch(
      input: sampleShape.rank == 3 ? input.channelsLast() : input,
      labels: Storage(Array(labels[these])))
  }

  func labelCount(_ indices: ArraySlice<Int>) -> Int { indices.count * labelsPerSample }

  func visitContents(_ visit: ([UInt8]) -> Void) {
    for value in samples.elements {
      visit((0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) })
    }
  }
}
