public import LockstepAutograd
public import LockstepCollectives
public import LockstepFiles
public import LockstepTensors

/// Ranks whose parameters differ from those of rank 0.
public struct ReplicaError: ProgramError, Sendable {
  /// Every rank throws it.
  public var isSharedByAllRanks: Bool { true }

  /// The run failed.
  public var exitStatus: Int32 { ExitStatus.failed }

  /// The ranks that differ from rank 0.
  public let ranks: [Int]
  /// Names the ranks.
  public var description: String {
    "the parameters of rank \(ranks.map(String.init).joined(separator: ", ")) differ from rank 0's"
  }
}

/// Gives every rank the parameters, buffers and counters of rank 0, and verifies the parameters.
public func broadcastState(_ model: some Layer, over communicator: any Communicator) throws {
  for tensor in model.parameters.map(\.value) { try broadcast(tensor, over: communicator) }
  try broadcastBuffers(model, over: communicator)
  try verifyReplicas(model.parameters, over: communicator)
}

/// Gives every rank the running statistics of rank 0.
public func broadcastBuffers(_ model: some Layer, over communicator: any Communicator) throws {
  for buffer in model.buffers { try broadcast(buffer.value, over: communicator) }
  var counts = model.counters.map(\.value)
  try communicator.broadcast(&counts, from: 0)
  for (counter, count) in zip(model.counters, counts) { counter.value = count }
}

/// Gives every rank the elements of rank 0's tensor.
public func broadcast(_ tensor: Tensor, over communicator: any Communicator) throws {
  try tensor.storage.withMutableSpan(tensor.range) { span throws(CommunicationError) in
    try communicator.broadcast(&span, from: 0)
  }
}

/// Throws ``ReplicaError`` on every rank unless all hold the same bits.
public func verifyReplicas(_ parameters: [Parameter], over communicator: any Communicator) throws {
  let digest = Int64(bitPattern: parameterDigest(parameters))
  let digests = try communicator.allGather([digest]).map { $0[0] }
  let wrong = digests.indices.filter { digests[$0] != digests[0] }
  guard wrong.isEmpty else { throw ReplicaError(ranks: wrong) }
}

/// A digest of every bit of the parameters, FNV-1a by words.
///
/// It is for telling replicas apart, not for security.
public func parameterDigest(_ parameters: [Parameter]) -> UInt64 {
  var digest: UInt64 = 0xcbf2_9ce4_8422_2325
  for parameter in parameters {
    parameter.value.storage.withMutableSpan(parameter.value.range) { span in
      for i in span.indices { digest = (digest ^ UInt64(span[i].bitPattern)) &* 0x100_0000_01b3 }
    }
  }
  return digest
}
