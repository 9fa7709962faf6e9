import Kernels
public import Tensors

/// The gradient of one value, while it is being summed.
public final class Gradient {
  fileprivate var sum: Tensor?

  fileprivate init() {}

  /// Whether nobody else holds the sum.
  fileprivate var isOwned: Bool { sum?.isUniquelyReferenced() ?? false }

  /// Adds a contribution.
  ///
  /// It may be shared with other gradients, so it is never written to.
  public func add(_ contribution: consuming Tensor) {
    guard let before = sum else { return sum = consume contribution }
    sum = Kernel.add(before, contribution)
  }
}

/// A value on the tape.
///
/// The tape keeps its gradient alive, not the value: what a pullback needs of the value it
/// captures.
public struct Variable {
  /// The value.
  public let value: Tensor
  /// Where its gradient is summed, or nil where none is wanted.
  public let gradient: Gradient?
  /// The value again, for the backward pass: a layer that needs its input there captures this and
  /// not the value, so that a value that is cheap to compute need not be kept.
  public let again: () -> Tensor

  fileprivate init(_ value: Tensor, wantsGradient: Bool, again: (() -> Tensor)? = nil) {
    self.value = value
    gradient = wantsGradient ? Gradient() : nil
    self.again = again ?? { value }
  }
}

/// Whether layers learn from what they see.
public enum Mode: Sendable {
  /// Batch norms use and update their statistics; the tape records.
  case training
  /// Batch norms use their running statistics; nothing is recorded.
  case evaluation
}

/// Which samples of a run a tape sees, so that what is drawn at random follows the sample and not
/// the rank.
public struct SampleOrigin: Sendable {
  /// The run's seed.
  public let seed: UInt64
  /// The step, from 0.
  public let step: Int
  /// The slot of the first sample in the global batch.
  public let firstSlot: Int

  /// The samples from `firstSlot` on of a step.
  public init(seed: UInt64, step: Int, firstSlot: Int) {
    self.seed = seed
    self.step = step
    self.firstSlot = firstSlot
  }
}

/// The layers that ran forward, in order, each with its hand-written pullbacks.
///
/// One entry is a whole layer, not a scalar operation. Replay order is the reverse of record
/// order, so all ranks issue the same collectives in the same order.
public final class Tape {
  /// Takes dy and adds dx to the inputs' gradients.
  ///
  /// Where `overwriting`, nobody else needs dy, and dx may be written over it: that is memory which
  /// is in the caches already.
  public typealias InputPullback = (_ dy: Tensor, _ overwriting: Bool) throws -> Void

  /// Lets a collective that is in flight make progress.
  public typealias Poll = () throws -> Void

  /// Takes dy and contributes to the parameters' gradients, for which nothing upstream waits.
  public typealias WeightPullback = (_ dy: Tensor) -> Void

  private struct Entry {
    let gradient: Gradient
    let uses: [Parameter]
    let inputPullback: InputPullback
    let weightPullback: WeightPullback?
    let mayDefer: Bool
    let waitsForRanks: Bool
  }

  /// A weight pullback that was put off until a collective is in flight.
  private struct Deferred {
    let dy: Tensor
    let uses: [Parameter]
    let pullback: WeightPullback
  }

  /// Whether this is training or evaluation.
  public let mode: Mode
  /// Where the samples come from; layers that draw random numbers key them by it.
  public let origin: SampleOrigin
  /// Which positions of padded sequences count, as rows of `[N, T, …]` in order; nil for all.
  public let validRows: [Int]?
  /// Whether weight gradients are put off until the next layer before them waits for other ranks, and are
  /// computed while what it waits for is in flight.
  ///
  /// The sums have the same bits either way.
  public let defersWeightGradients: Bool
  private var entries: [Entry] = []
  /// How many of the entries wait for other ranks in their pullback.
  private var waiting = 0
  private var deferred: [Deferred] = []
  /// A parameter of the layer whose input pullback runs.
  private var current: Parameter?

  /// Called when a layer has run forward or back, with one of its parameters, if it has any.
  public var onLayer: ((_ parameter: Parameter?, _ isBackward: Bool) -> Void)?
  /// Called once per parameter as soon as its gradient is final.
  public var onGradientReady: (Parameter) throws -> Void = { _ in }
  /// An empty tape.
  public init(
    _ mode: Mode, origin: SampleOrigin = SampleOrigin(seed: 0, step: 0, firstSlot: 0),
    validRows: [Int]? = nil, defersWeightGradients: Bool = false
  ) {
    self.mode = mode
    self.origin = origin
    self.validRows = validRows
    self.defersWeightGradients = defersWeightGradients
  }

  /// Puts a value on the tape that nothing computed.
  public func input(_ x: Tensor, wantsGradient: Bool = false) -> Variable {
    Variable(x, wantsGradient: wantsGradient)
  }

  /// Records a layer's output with what flows back through the layer.
  ///
  /// - Parameters:
  ///   - y: The output.
  ///   - uses: The parameters whose gradients the pullbacks contribute to.
  ///   - inputPullback: Runs at once. The pullback of a layer whose input and parameter gradients
  ///     come from one pass does both.
  ///   - weightPullback: Takes dy and contributes to the parameters' gradients.
  ///   - mayDefer: Whether the weight pullback may be put off, to run while the collective of a layer
  ///     before it is in flight: not where another entry of the tape waits for what it contributes.
  ///   - waitsForRanks: Whether the input pullback waits for a collective, and calls
  ///     ``computeDeferred(_:)`` meanwhile.
  ///   - again: Computes y again from what the pullbacks hold anyway; nil where y is to be kept.
  /// - Returns: the output as a variable.
  public func record(
    _ y: Tensor, uses: [Parameter] = [], inputPullback: @escaping InputPullback,
    weightPullback: WeightPullback? = nil, mayDefer: Bool = true, waitsForRanks: Bool = false,
    again: (() -> Tensor)? = nil
  ) -> Variable {
    onLayer?(uses.first, false)
    guard mode == .training else { return Variable(y, wantsGradient: false) }
    let output = Variable(y, wantsGradient: true, again: again)
    guard let gradient = output.gradient else { return output }
    for parameter in uses { parameter.open() }
    entries.append(
      Entry(
        gradient: gradient, uses: uses, inputPullback: inputPullback,
        weightPullback: weightPullback, mayDefer: mayDefer, waitsForRanks: waitsForRanks))
    if waitsForRanks { waiting += 1 }
    return output
  }

  /// Replays the tape in reverse from a variable's `gradient`, which becomes `seed`, and empties
  /// it.
  ///
  /// The variable's value need not be kept for it.
  public func backward(from gradient: Gradient?, seed: consuming Tensor) throws {
    guard let gradient else { return }
    gradient.sum = consume seed
    while let entry = entries.popLast() {
      if entry.waitsForRanks { waiting -= 1 }
      // Put off only as long as a layer is to come that waits for other ranks.
      let mayDefer =
        defersWeightGradients && waiting > 0 && entry.mayDefer && entry.weightPullback != nil
      if !mayDefer && isContributedToLater(entry.uses) { try computeDeferred {} }
      let overwriting = entry.weightPullback == nil && entry.gradient.isOwned
      var isDeferred = false
      if let dy = entry.gradient.sum.take() {
        current = entry.uses.first
        try entry.inputPullback(dy, overwriting)
        if let pullback = entry.weightPullback {
          isDeferred = mayDefer
          if isDeferred {
            deferred.append(Deferred(dy: dy, uses: entry.uses, pullback: pullback))
          } else {
            pullback(dy)
          }
        }
      }
      onLayer?(entry.uses.first, true)
      if !isDeferred { try close(entry.uses) }
    }
    // Where the last layer that waits had no gradient to wait with.
    try computeDeferred {}
  }

  /// Runs all weight pullbacks that were put off, in the order in which they were, with `poll` called before
  /// each; for a layer that waits for a collective.
  ///
  /// They are those of the layers just passed, whose tensors are still in the caches, and each is computed
  /// whole. To cut them into parts, with a test in between, and to keep some for later layers let ranks wait
  /// less and made steps longer.
  ///
  /// The first call of `poll` follows the collective's begin: Open MPI's sends nothing before where the
  /// first round of its algorithm is a copy.
  public func computeDeferred(_ poll: Poll) throws {
    guard !deferred.isEmpty else { return }
    onLayer?(current, true)
    for work in deferred {
      try poll()
      work.pullback(work.dy)
      onLayer?(work.uses.first, true)
      try close(work.uses)
    }
    deferred = []
  }

  /// Whether a pullback that was put off contributes to any of `parameters`: sums are taken in one order.
  private func isContributedToLater(_ parameters: [Parameter]) -> Bool {
    deferred.contains { work in work.uses.contains { use in parameters.contains { $0 === use } } }
  }

  private func close(_ uses: [Parameter]) throws {
    for parameter in uses where parameter.close() { try onGradientReady(parameter) }
  }
}
