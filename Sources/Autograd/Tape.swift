public import LockstepCollectives
import LockstepKernels
public import LockstepTensors

/// The gradient of one value, while it is being summed.
public final class Gradient {
  /// The first contribution, or the sum of all but the last.
  private var sum: Tensor?
  /// The last of several contributions, for a layer that adds it in the pass that reads the gradient.
  private var last: Tensor?
  private let keepsLastApart: Bool

  fileprivate init(keepsLastApart: Bool) { self.keepsLastApart = keepsLastApart }

  /// Adds a contribution.
  ///
  /// It may be shared with other gradients, so it is never written to; the sum is written over where
  /// nobody else holds it.
  public func add(_ contribution: consuming Tensor) {
    guard sum != nil else { return sum = consume contribution }
    addLast()
    last = consume contribution
    if !keepsLastApart { addLast() }
  }

  /// Hands over the sum, or the sum of all contributions but the last, and the last; nil where nothing was
  /// added.
  func take() -> (sum: Term, addend: Term?)? {
    Term(taking: &sum).map { ($0, Term(taking: &last)) }
  }

  /// A tensor that is handed over.
  struct Term {
    let tensor: Tensor
    /// Whether nobody else holds it.
    let isOwned: Bool

    fileprivate init?(taking tensor: inout Tensor?) {
      isOwned = tensor?.isUniquelyReferenced() ?? false
      guard let taken = tensor.take() else { return nil }
      self.tensor = taken
    }
  }

  private func addLast() {
    guard let contribution = last.take(), let before = sum.take() else { return }
    sum = Self.sum(before, contribution)
  }

  private static func sum(_ before: consuming Tensor, _ contribution: Tensor) -> Tensor {
    guard before.isUniquelyReferenced() else { return Kernel.add(before, contribution) }
    Kernel.add(before, contribution, into: before)
    return before
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

  fileprivate init(
    _ value: Tensor, wantsGradient: Bool, addsGradients: Bool = false, again: (() -> Tensor)? = nil
  ) {
    self.value = value
    gradient = wantsGradient ? Gradient(keepsLastApart: addsGradients) : nil
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
  /// Takes dy, or its two terms where the layer adds them, and adds dx to the inputs' gradients.
  public typealias InputPullback = (_ dy: Tensor, _ backward: Backward) throws -> Void

  /// Takes dy and contributes to the parameters' gradients, for which nothing upstream waits.
  public typealias WeightPullback = (_ dy: Tensor) -> Void

  /// Lets a collective that is in flight make progress.
  public typealias Poll = () throws -> Void

  /// Is told which layer has just run, and in which pass; nil for a layer without a name.
  public typealias Observer = (_ layer: LayerName?, _ pass: Pass) -> Void

  struct Entry {
    let layer: LayerName?
    let gradient: Gradient
    let uses: [Parameter]
    let inputPullback: InputPullback
    let weightPullback: WeightPullback?
    let mayDefer: Bool
    let waitsForRanks: Bool
  }

  /// Whether this is training or evaluation.
  public let mode: Mode
  /// Where the samples come from; layers that draw random numbers key them by it.
  public let origin: SampleOrigin
  /// Which positions of padded sequences count, as rows of `[N, T, …]` in order; nil for all.
  public let validRows: [Int]?
  /// In what numbers layers store their outputs, and the gradients of them.
  public let precision: Precision
  /// Whether weight gradients are deferred until the next layer before them waits for other ranks, and are
  /// computed while what it waits for is in flight.
  ///
  /// The sums have the same bits either way.
  public let defersWeightGradients: Bool
  private let observer: Observer?
  private var entries: [Entry] = []

  /// An empty tape.
  public init(
    _ mode: Mode, precision: Precision = .float32,
    origin: SampleOrigin = SampleOrigin(seed: 0, step: 0, firstSlot: 0),
    validRows: [Int]? = nil, defersWeightGradients: Bool = false, observer: Observer? = nil
  ) {
    self.mode = mode
    self.precision = precision
    self.origin = origin
    self.validRows = validRows
    self.defersWeightGradients = defersWeightGradients
    self.observer = observer
  }

  /// Puts a value on the tape that nothing computed.
  public func input(_ x: Tensor, wantsGradient: Bool = false) -> Variable {
    Variable(x, wantsGradient: wantsGradient)
  }

  /// x in the tape's precision, for a layer that computes in it: x itself where it has that precision.
  public func stored(_ x: Variable) -> Variable {
    guard x.value.precision != precision else { return x }
    let before = x.value.precision
    guard x.gradient != nil else { return input(Kernel.converted(x.value, to: precision)) }
    return record(
      Kernel.converted(x.value, to: precision),
      inputPullback: { [gradient = x.gradient] dy, _ in
        gradient?.add(Kernel.converted(dy, to: before))
      })
  }

  /// Records a layer's output with what flows back through the layer.
  ///
  /// - Parameters:
  ///   - y: The output.
  ///   - layer: The layer's name; nil for one that needs none.
  ///   - uses: The parameters whose gradients the pullbacks contribute to.
  ///   - inputPullback: Runs at once. The pullback of a layer whose input and parameter gradients
  ///     come from one pass does both.
  ///   - weightPullback: Takes dy and contributes to the parameters' gradients.
  ///   - mayDefer: Whether the weight pullback may be deferred, to run while the collective of a layer
  ///     before it is in flight: not where another entry of the tape waits for what it contributes.
  ///   - waitsForRanks: Whether the input pullback waits for a collective, and calls
  ///     ``Backward/computeDeferred(_:)`` meanwhile.
  ///   - addsGradients: Whether the input pullback adds ``Backward/addend`` to dy, in the pass that reads dy.
  ///   - again: Computes y again from what the pullbacks hold anyway; nil where y is to be kept.
  /// - Returns: the output as a variable.
  public func record(
    _ y: Tensor, by layer: LayerName? = nil, uses: [Parameter] = [],
    inputPullback: @escaping InputPullback, weightPullback: WeightPullback? = nil,
    mayDefer: Bool = true, waitsForRanks: Bool = false, addsGradients: Bool = false,
    again: (() -> Tensor)? = nil
  ) -> Variable {
    precondition(!addsGradients || weightPullback == nil, "the weight pullback takes the sum")
    observer?(layer, .forward)
    guard mode == .training else { return Variable(y, wantsGradient: false) }
    let output = Variable(y, wantsGradient: true, addsGradients: addsGradients, again: again)
    guard let gradient = output.gradient else { return output }
    for parameter in uses { parameter.open() }
    entries.append(
      Entry(
        layer: layer, gradient: gradient, uses: uses, inputPullback: inputPullback,
        weightPullback: weightPullback, mayDefer: mayDefer, waitsForRanks: waitsForRanks))
    return output
  }

  /// Replays the tape in reverse from a variable's `gradient`, to which `seed` is added, and empties
  /// it.
  ///
  /// The variable's value need not be kept for it. `onGradientReady` is called once per parameter as soon
  /// as its gradient is final.
  public func backward(
    from gradient: Gradient?, seed: consuming Tensor,
    onGradientReady: @escaping (Parameter) throws -> Void = { _ in }
  ) throws {
    guard let gradient else { return }
    gradient.add(consume seed)
    let replay = Replay(
      entries, defers: defersWeightGradients, observer: observer,
      onGradientReady: onGradientReady)
    entries = []
    try replay.run()
  }
}
