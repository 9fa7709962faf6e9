import LockstepAutograd
package import LockstepCollectives
import LockstepDataParallel
import LockstepFiles
package import LockstepModels
package import LockstepOptimizers
package import LockstepSafetensors
import LockstepTensors

/// The tensors from which a run goes on, and how ranks get theirs.
package struct ReplicaState {
  let model: Model
  let optimizer: Optimizer
  let control: any Communicator
  /// Whether ranks have running statistics of their own.
  private var hasOwnStatistics: Bool { model.hasOwnStatistics }

  package init(model: Model, optimizer: Optimizer, control: any Communicator) {
    (self.model, self.optimizer, self.control) = (model, optimizer, control)
  }

  private static let groupsName = Checkpoint.prefix + "statistics_groups"
  private static let optimizerPrefix = Checkpoint.prefix + "optimizer."
  private static func prefix(rank: Int) -> String { "\(Checkpoint.prefix)rank.\(rank)." }

  /// Copies of all tensors by their names in a checkpoint, on rank 0; nil elsewhere.
  ///
  /// Collective if ranks have statistics of their own. No tensor is changed.
  package func gathered() throws(CommunicationError) -> [String: SafetensorsFile.Value]? {
    var own: (values: [[Float]], counts: [[Int64]])?
    if hasOwnStatistics, control.size > 1 {
      let values = try control.gather(model.buffers.flatMap(\.value.elements), to: 0)
      let counts = try control.gather(model.counters.map(\.value), to: 0)
      if let values, let counts { own = (values, counts) }
    }
    guard control.rank == 0 else { return nil }
    var tensors = StateDictionary(model).tensors
    for (name, value) in optimizer.state {
      tensors[Self.optimizerPrefix + name] = .float32(value.copy())
    }
    guard let own else { return tensors }
    if let groups { tensors[Self.groupsName] = groups }
    for rank in own.values.indices {
      let prefix = Self.prefix(rank: rank)
      var start = 0
      for buffer in model.buffers {
        let end = start + buffer.value.count
        tensors[prefix + buffer.name] = .float32(
          Tensor(Array(own.values[rank][start..<end]), shape: buffer.value.shape))
        start = end
      }
      for (counter, count) in zip(model.counters, own.counts[rank]) {
        tensors[prefix + counter.name] = .int64([count], shape: [])
      }
    }
    return tensors
  }

  /// Which ranks share running statistics, `[groupings, ranks]`; nil if each has its own.
  private var groups: SafetensorsFile.Value? {
    let groups = model.statisticsGroups
    return groups.isEmpty
      ? nil : .int64(groups.joined().map(Int64.init), shape: [groups.count, control.size])
  }

  /// Whether the ranks that share running statistics now are those that did when a checkpoint was written.
  ///
  /// Older checkpoints do not say.
  private func hasSameGroups(_ checkpoint: Checkpoint) -> Bool {
    guard case .int64(let then, _)? = checkpoint.tensors[Self.groupsName] else { return true }
    guard case .int64(let now, _)? = groups else { return false }
    return then == now
  }

  /// Whether all parameters, running statistics and the optimizer's state are finite.
  package var isFinite: Bool {
    model.parameters.allSatisfy(\.value.isFinite) && model.buffers.allSatisfy(\.value.isFinite)
      && optimizer.state.allSatisfy(\.value.isFinite)
  }

  /// Runs `body` with rank 0's running statistics on all ranks, then gives each rank its own back.
  ///
  /// Collective if ranks have statistics of their own.
  package func lendingStatistics<Result>(_ body: () throws -> Result) throws -> Result {
    guard hasOwnStatistics, control.size > 1 else { return try body() }
    let own = (model.buffers.map { $0.value.copy() }, model.counters.map(\.value))
    try broadcastBuffers(model, over: control)
    defer {
      for (buffer, value) in zip(model.buffers, own.0) { buffer.value.write(value) }
      for (counter, value) in zip(model.counters, own.1) { counter.value = value }
    }
    return try body()
  }

  /// Gives every rank its tensors from `checkpoint`, which rank 0 passes; on other ranks it is nil.
  ///
  /// If the checkpoint is of another number of ranks, or other ranks shared running statistics, as when a job's
  /// ranks lie otherwise on nodes, all get those of its rank 0: ranks that share statistics need the same.
  ///
  /// Collective. All ranks throw, or none.
  package func restore(_ checkpoint: Checkpoint?) throws {
    let own = try agreeing(over: control) { () throws(StateError) in
      guard let checkpoint else { return Statistics() }
      try StateDictionary(checkpoint).load(into: model)
      for (name, value) in optimizer.state {
        let stored = try tensor(checkpoint, Self.optimizerPrefix + name, of: value.shape)
        value.write(stored)
      }
      guard hasOwnStatistics, control.size > 1, checkpoint.ranks == control.size,
        // A run whose statistics group had all ranks writes no such tensors.
        checkpoint.tensors.keys.contains(where: { $0.hasPrefix(Self.prefix(rank: 0)) }),
        hasSameGroups(checkpoint)
      else { return Statistics() }
      return try statistics(of: checkpoint)
    }
    try broadcastState(model, over: control)
    for (_, value) in optimizer.state { try broadcast(value, over: control) }
    var steps = [Int64(checkpoint?.optimizerSteps ?? 0), own.values.isEmpty ? 0 : 1]
    try control.broadcast(&steps, from: 0)
    optimizer.resume(after: Int(steps[0]))
    if steps[1] == 1 { try scatter(own) }
  }

  /// Every rank's running statistics, rank after rank.
  private struct Statistics {
    var values: [[Float]] = []
    var counts: [[Int64]] = []
  }

  private func statistics(of checkpoint: Checkpoint) throws(StateError) -> Statistics {
    var statistics = Statistics()
    for rank in 0..<checkpoint.ranks {
      let prefix = Self.prefix(rank: rank)
      var (values, counts): ([Float], [Int64]) = ([], [])
      for buffer in model.buffers {
        values += try tensor(checkpoint, prefix + buffer.name, of: buffer.value.shape).elements
      }
      for counter in model.counters {
        guard case .int64(let count, _)? = checkpoint.tensors[prefix + counter.name],
          count.count == 1
        else {
          throw StateError(description: "the checkpoint has no \"\(prefix + counter.name)\"")
        }
        counts += count
      }
      statistics.values.append(values)
      statistics.counts.append(counts)
    }
    return statistics
  }

  private func tensor(_ checkpoint: Checkpoint, _ name: String, of shape: Shape)
    throws(StateError) -> Tensor
  {
    guard case .float32(let tensor)? = checkpoint.tensors[name], tensor.shape == shape else {
      throw StateError(
        description: "the checkpoint has no float32 tensor \"\(name)\" of shape \(shape)")
    }
    return tensor
  }

  /// Gives every rank its own part of rank 0's `statistics`.
  private func scatter(_ statistics: Statistics) throws(CommunicationError) {
    let count = model.buffers.reduce(0) { $0 + $1.value.count }
    for rank in 0..<control.size {
      let isFirst = control.rank == 0
      var values = isFirst ? statistics.values[rank] : [Float](repeating: 0, count: count)
      var counts =
        isFirst ? statistics.counts[rank] : [Int64](repeating: 0, count: model.counters.count)
      try control.broadcast(&values, from: 0)
      try control.broadcast(&counts, from: 0)
      guard rank == control.rank else { continue }
      var start = 0
      for buffer in model.buffers {
        buffer.value.write(Array(values[start..<start + buffer.value.count]))
        start += buffer.value.count
      }
      for (counter, count) in zip(model.counters, counts) { counter.value = count }
    }
  }
}
