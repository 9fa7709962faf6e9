import Foundation
public import LockstepAutograd
public import LockstepFiles
public import LockstepSafetensors
import LockstepTensors

/// A model's parameters, running statistics and counters by PyTorch's names, in PyTorch's layouts.
///
/// Batch and sync-batch norm use the same names, so a state saved with one can be loaded with the other.
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

  /// The tensors of a file whose names begin with `prefix`, which is removed.
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
  ///
  /// What PyTorch's wrappers add to names is removed: DistributedDataParallel puts `module.` before every
  /// name, and torch.compile puts `_orig_mod.` before the names of what it compiled.
  public init(path: String) throws(StateError) {
    let data = try SafetensorsFile.contents(path: path)
    // Only a checkpoint has a digest. A state that PyTorch saved has none.
    _ = try CheckpointDigest.isRight(data, path: path)
    let file = try SafetensorsFile(data, path: path)
    source = path
    tensors = file.tensors.filter { !$0.key.hasPrefix(Checkpoint.prefix) }
    let plain = tensors.map { ($0.key.replacingOccurrences(of: "_orig_mod.", with: ""), $0.value) }
    if Set(plain.map(\.0)).count == plain.count {
      tensors = Dictionary(uniqueKeysWithValues: plain)
    }
    let prefix = "module."
    while !tensors.isEmpty, tensors.keys.allSatisfy({ $0.hasPrefix(prefix) }) {
      tensors = Dictionary(
        uniqueKeysWithValues: tensors.map { (String($0.key.dropFirst(prefix.count)), $0.value) })
    }
  }

  /// The state with a tied parameter under all its names, as PyTorch's `load_state_dict` wants it.
  public func spellingOut(_ ties: [TiedParameter]) -> StateDictionary {
    var copy = self
    for tie in ties { copy.tensors[tie.alias] = tensors[tie.name] }
    return copy
  }

  /// Writes the state as safetensors.
  public func write(to path: String) throws {
    try SafetensorsWriter(tensors, metadata: ["format": "pt"]).write(to: path)
  }

  /// Copies the values into `model`, whose names have to be those of the state.
  ///
  /// Nothing is written unless everything fits and is finite. Counters may be missing, as in states from
  /// before PyTorch had them. If two layers of the model share a parameter, the state may have it under
  /// both names with the same values. If they do not share it in the model but did in the state, both get
  /// its values.
  public func load(into model: some Layer, ties: [TiedParameter] = []) throws(StateError) {
    let tensors = try untied(for: model, ties)
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
      guard tensor.isFinite else {
        throw StateError(description: "\(source): \"\(name)\" has a value that is not finite")
      }
      guard !name.hasSuffix(".running_var") || tensor.elements.allSatisfy({ $0 >= 0 }) else {
        throw StateError(
          description: "\(source): \"\(name)\" has a value below 0, which is no variance")
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
  }

  /// The tensors under the names that `model` has for its parameters.
  private func untied(for model: some Layer, _ ties: [TiedParameter]) throws(StateError)
    -> [String: SafetensorsFile.Value]
  {
    var tensors = tensors
    let names = Set(model.parameters.map(\.name))
    for tie in ties {
      guard case .float32(let value)? = tensors[tie.name] else { continue }
      if names.contains(tie.alias) {
        if tensors[tie.alias] == nil { tensors[tie.alias] = .float32(value) }
      } else if case .float32(let other)? = tensors[tie.alias] {
        guard other.shape == value.shape, other.elements == value.elements else {
          throw StateError(
            description:
              "\(source): \"\(tie.alias)\" differs from \"\(tie.name)\", but the model shares "
              + "them; train with model.tiedEmbedding=false")
        }
        tensors[tie.alias] = nil
      }
    }
    return tensors
  }
}
