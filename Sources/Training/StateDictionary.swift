public import Autograd
import Foundation
import Tensors

/// State that does not fit the model it is meant for, or a file that holds none.
public struct StateError: Error, CustomStringConvertible, Hashable, Sendable {
  /// What was found and what was expected.
  public let description: String
}

/// A model's parameters, running statistics and counters by PyTorch's names, in PyTorch's layouts.
///
/// Batch and sync-batch norm have the same names: a state saved under one opens under the other.
public struct StateDictionary: Sendable {
  /// The tensors by name.
  public private(set) var tensors: [String: SafetensorsFile.Value] = [:]
  /// Where the state came from, for messages.
  private let source: String

  /// The state of a model.
  public init(_ model: some Layer) {
    source = "the model"
    for parameter in model.parameters { tensors[parameter.name] = .float32(parameter.value.copy()) }
    for buffer in model.buffers { tensors[buffer.name] = .float32(buffer.value.copy()) }
    for counter in model.counters { tensors[counter.name] = .int64([counter.value], shape: []) }
  }

  /// The tensors of a file whose names begin with `prefix`, without it.
  public init(_ file: SafetensorsFile, prefix: String = "") {
    source = file.path
    for (name, value) in file.tensors where name.hasPrefix(prefix) {
      tensors[String(name.dropFirst(prefix.count))] = value
    }
  }

  /// The model's part of a checkpoint.
  public init(_ checkpoint: Checkpoint) {
    (tensors, source) = (checkpoint.model, "the checkpoint of step \(checkpoint.step)")
  }

  /// Reads a state saved as safetensors, or the model's part of a checkpoint, whose digest is verified.
  public init(path: String) throws(StateError) {
    let data = try SafetensorsFile.contents(path: path)
    // A state that PyTorch saved has none.
    _ = try CheckpointDigest.isRight(data, path: path)
    let file = try SafetensorsFile(data, path: path)
    source = path
    tensors = file.tensors.filter { !$0.key.hasPrefix(Checkpoint.prefix) }
  }

  /// Writes the state as safetensors.
  public func write(to path: String) throws {
    try SafetensorsWriter(tensors, metadata: ["format": "pt"]).write(to: path)
  }

  /// Copies the values into `model`, which takes all of them and needs all it has.
  ///
  /// Nothing is written unless everything fits. Counters may be missing, as in states that
  /// PyTorch saved before it counted.
  public func load(into model: some Layer) throws(StateError) {
    var left = Set(tensors.keys)
    for counter in model.counters { left.remove(counter.name) }
    let wanted =
      model.parameters.map { ($0.name, $0.value) } + model.buffers.map { ($0.name, $0.value) }
    for (name, value) in wanted {
      guard case .float32(let tensor)? = tensors[name] else {
        throw StateError(
          description: "\(source) has no float32 tensor \"\(name)\", which the model needs")
      }
      guard tensor.shape == value.shape else {
        throw StateError(
          description:
            "\(source): \"\(name)\" has shape \(tensor.shape), expected \(value.shape)")
      }
      left.remove(name)
    }
    for counter in model.counters {
      if case .int64(let values, _)? = tensors[counter.name], let first = values.first,
        !(0...Int64(Checkpoint.largestCount) ~= first)
      {
        throw StateError(
          description:
            "\(source): \"\(counter.name)\" is \(first), expected 0 to \(Checkpoint.largestCount)")
      }
    }
    if let extra = left.sorted().first {
      throw StateError(description: "\(source): the model has no \"\(extra)\"")
    }
    for (name, value) in wanted {
      if case .float32(let tensor)? = tensors[name] { value.write(tensor) }
    }
    for counter in model.counters {
      if case .int64(let values, _)? = tensors[counter.name], let first = values.first {
        counter.value = first
      }
    }
    for parameter in model.parameters { parameter.valueChanged() }
  }
}
