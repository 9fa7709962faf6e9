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

  /// Lets a collective make progress; whether it is still in flight, and so whether the library made
  /// progress with everything else too.
  public typealias Poll = () throws -> Bool

  /// Takes dy and gives the work that contributes to the parameters' gradients, for which nothing
  /// upstream waits: in order, and in no more than so many parts.
  ///
  /// Work that is put off to run while a collective is in flight comes in several, so that the collective
  /// makes progress in between, and the layer that waits for it goes on soon after it is over.
  public typealias WeightPullback = (_ dy: Tensor, _ parts: Int) -> [() -> Void]

  private struct Entry {
    let gradient: Gradient
    let uses: [Parameter]
    let inputPullback: InputPullback
    let weightPullback: WeightPullback?
    let mayDefer: Bool
    let waitsForRanks: Bool
  }

  /// A weight pullback that waits for a collective to hide.
  private struct Deferred {
    let dy: Tensor
    let uses: [Parameter]
    let pullback: WeightPullback
    /// What is left to do; nil before it began.
    var left: ArraySlice<() -> Void>?

    /// Does the next part; whether it was the last.
    mutating func advance() -> Bool {
      var work = left ?? pullback(dy, Tape.deferredParts)[...]
      work.popFirst()?()
      left = work
      return work.isEmpty
    }
  }

  /// In how many parts a weight gradient that was put off is computed: the same whether there is anything
  /// in flight or not, and so are the bits of its sum.
  private static let deferredParts = 4

  /// Whether this is training or evaluation.
  public let mode: Mode
  /// Where the samples come from; layers that draw random numbers key them by it.
  public let origin: SampleOrigin
  /// Which positions of padded sequences count, as rows of `[N, T, …]` in order; nil for all.
  public let validRows: [Int]?
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
  /// Lets the collectives of others make progress, where nothing else does while weight gradients that
  /// were put off are computed.
  public var onProgress: () throws -> Void = {}

  /// An empty tape.
  public init(
    _ mode: Mode, origin: SampleOrigin = SampleOrigin(seed: 0, step: 0, firstSlot: 0),
    validRows: [Int]? = nil
  ) {
    self.mode = mode
    self.origin = origin
    self.validRows = validRows
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
      let mayDefer = waiting > 0 && entry.mayDefer && entry.weightPullback != nil
      if waiting == 0 && !entry.waitsForRanks || !mayDefer && isContributedToLater(entry.uses) {
        try computeDeferred(allBut: 0) { false }
      }
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
            for work in pullback(dy, 1) { work() }
          }
        }
      }
      onLayer?(entry.uses.first, true)
      if !isDeferred { try close(entry.uses) }
    }
    // Where the last layer that waits had no gradient to wait with.
    try computeDeferred(allBut: 0) { false }
  }

  /// How many weight pullbacks stay put off when the collective that they hide is over: enough work for
  /// a rank that is ahead of the others to do while it waits for them, few enough that buckets of
  /// gradients are not held up for long, nor much memory.
  private static let reserve = 6

  /// Runs weight pullbacks that were put off, part by part and in the order in which they were, with `poll`
  /// called before and after each part; for a layer that waits for a collective.
  ///
  /// The first call of `poll` follows the collective's begin: Open MPI's sends nothing before where the
  /// first round of its algorithm is a copy. Once the collective is over, some pullbacks may stay for the
  /// next layer that waits: what waits for this one is on the other ranks' way, and they are not.
  public func computeDeferred(_ poll: Poll) throws {
    guard !deferred.isEmpty else { return }
    onLayer?(current, true)
    try computeDeferred(allBut: waiting > 0 ? Self.reserve : 0, poll)
  }

  /// Runs all weight pullbacks that were put off, with nothing in flight.
  public func computeDeferred() throws {
    guard !deferred.isEmpty else { return }
    onLayer?(current, true)
    try computeDeferred(allBut: 0) { false }
  }

  private func computeDeferred(allBut reserve: Int, _ poll: Poll) throws {
    guard !deferred.isEmpty else { return }
    try withoutActuallyEscaping(poll) { poll in
      // One test makes the library progress with everything, and costs some microseconds.
      var isInFlight = true
      let all = {
        isInFlight = try isInFlight && poll()
        if !isInFlight { try self.onProgress() }
      }
      try all()
      while let uses = deferred.first?.uses, isInFlight || deferred.count > reserve {
        let isDone = deferred[0].advance()
        onLayer?(uses.first, true)
        if isDone {
          deferred.removeFirst()
          try close(uses)
        }
        try all()
      }
    }
  }

  /// Whether a pullback that was put off contributes to any of `parameters`: sums are taken in one order.
  private func isContributedToLater(_ parameters: [Parameter]) -> Bool {
    deferred.contains { work in work.uses.contains { use in parameters.contains { $0 === use } } }
  }

  private func close(_ uses: [Parameter]) throws {
    for parameter in uses where parameter.close() { try onGradientReady(parameter) }
  }
}
