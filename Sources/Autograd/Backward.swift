import LockstepCollectives
public import LockstepTensors

/// What a layer's pullback is handed beside dy.
public struct Backward {
  /// Whether nobody else needs dy, so that dx may be written over it: memory that is in the caches
  /// already.
  public let mayOverwrite: Bool
  /// What is still to be added to dy, for a layer that was recorded to add it; nil where dy is the sum.
  public let addend: Tensor?
  /// Whether nobody else needs the addend.
  public let mayOverwriteAddend: Bool
  private let replay: Replay?

  init(mayOverwrite: Bool, addend: Gradient.Term?, _ replay: Replay) {
    self.mayOverwrite = mayOverwrite
    self.addend = addend?.tensor
    mayOverwriteAddend = addend?.isOwned ?? false
    self.replay = replay
  }

  /// A pass of one layer by itself, where nothing is deferred.
  public init(mayOverwrite: Bool = false) {
    self.mayOverwrite = mayOverwrite
    (addend, mayOverwriteAddend, replay) = (nil, false, nil)
  }

  /// Runs all deferred weight pullbacks, in the order in which they were deferred, with `poll` called
  /// before each; for a layer that waits for a collective.
  ///
  /// They are those of the layers just passed, whose tensors are still in the caches, and each is computed
  /// whole. To cut them into parts, with a test in between, and to keep some for later layers let ranks wait
  /// less and made steps longer.
  ///
  /// The first call of `poll` follows the collective's begin: Open MPI's sends nothing before where the
  /// first round of its algorithm is a copy.
  public func computeDeferred(_ poll: Tape.Poll) throws { try replay?.computeDeferred(poll) }
}

/// One backward pass over a tape's entries.
final class Replay {
  /// A weight pullback that waits until a collective is in flight.
  private struct Deferred {
    let layer: LayerName?
    let dy: Tensor
    let uses: [Parameter]
    let pullback: Tape.WeightPullback
  }

  private var entries: [Tape.Entry]
  /// How many of the entries wait for other ranks in their pullback.
  private var waiting: Int
  private var deferred: [Deferred] = []
  /// The layer whose input pullback runs.
  private var current: LayerName?
  private let defers: Bool
  private let observer: Tape.Observer?
  private let onGradientReady: (Parameter) throws -> Void

  init(
    _ entries: [Tape.Entry], defers: Bool, observer: Tape.Observer?,
    onGradientReady: @escaping (Parameter) throws -> Void
  ) {
    self.entries = entries
    waiting = entries.count { $0.waitsForRanks }
    self.defers = defers
    self.observer = observer
    self.onGradientReady = onGradientReady
  }

  /// Runs all pullbacks from the last entry to the first.
  func run() throws {
    while let entry = entries.popLast() {
      if entry.waitsForRanks { waiting -= 1 }
      // Deferred only as long as a layer is to come that waits for other ranks.
      let mayDefer = defers && waiting > 0 && entry.mayDefer && entry.weightPullback != nil
      if !mayDefer && isContributedToLater(entry.uses) { try computeDeferred {} }
      var isDeferred = false
      if let (sum, addend) = entry.gradient.take() {
        let dy = sum.tensor
        current = entry.layer
        try entry.inputPullback(
          dy,
          Backward(
            mayOverwrite: entry.weightPullback == nil && sum.isOwned, addend: addend, self))
        if let pullback = entry.weightPullback {
          isDeferred = mayDefer
          if isDeferred {
            deferred.append(
              Deferred(layer: entry.layer, dy: dy, uses: entry.uses, pullback: pullback))
          } else {
            pullback(dy)
          }
        }
      }
      observer?(entry.layer, .backward)
      if !isDeferred { try close(entry.uses) }
    }
    // Where the last layer that waits had no gradient to wait with.
    try computeDeferred {}
  }

  func computeDeferred(_ poll: Tape.Poll) throws {
    guard !deferred.isEmpty else { return }
    observer?(current, .backward)
    for work in deferred {
      try poll()
      work.pullback(work.dy)
      observer?(work.layer, .backward)
      try close(work.uses)
    }
    deferred = []
  }

  /// Whether a deferred pullback contributes to any of `parameters`: sums are taken in one order.
  private func isContributedToLater(_ parameters: [Parameter]) -> Bool {
    deferred.contains { work in work.uses.contains { use in parameters.contains { $0 === use } } }
  }

  private func close(_ uses: [Parameter]) throws {
    for parameter in uses where parameter.close() { try onGradientReady(parameter) }
  }
}
