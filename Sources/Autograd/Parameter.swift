import LockstepKernels
public import LockstepTensors

/// A trained tensor and its gradient.
public final class Parameter {
  /// Its name in a state dictionary, such as `"layer1.0.conv1.weight"`.
  public let name: String
  /// The value, which optimizers write to in place.
  public let value: Tensor
  /// The memory that pullbacks add to: the parameter's own, or a part of a bucket.
  public private(set) var gradient: Tensor
  /// Whether a pullback has written to ``gradient`` since ``clearGradient()``.
  public private(set) var hasGradient = false
  /// Whether the layer's own collective already sums the gradient over all ranks, so that it
  /// travels in no bucket.
  public let isSummedByLayer: Bool
  /// Recorded uses whose gradient has not flowed back yet.
  fileprivate var openUses = 0

  /// Wraps an initial value, which the parameter owns from now on.
  public init(_ name: String, _ value: Tensor, isSummedByLayer: Bool = false) {
    self.name = name
    self.value = value
    self.isSummedByLayer = isSummedByLayer
    gradient = .zeros(value.shape)
  }

  /// Lets gradients flow into `memory`, of the value's shape, from now on.
  public func moveGradient(to memory: Tensor) {
    precondition(memory.shape == value.shape)
    gradient = memory
    hasGradient = false
  }

  /// Forgets the gradient; the next contribution overwrites it.
  public func clearGradient() { hasGradient = false }

  /// Lets `body` write the gradient, or add to it where `accumulating`.
  public func contribute(_ body: (_ gradient: Tensor, _ accumulating: Bool) -> Void) {
    body(gradient, hasGradient)
    hasGradient = true
  }

  /// Adds float64 sums to the gradient.
  ///
  /// A slice and no generic collection: across modules that would not be specialized, and take
  /// as long as the pass over the activations.
  public func contribute(_ sums: ArraySlice<Double>) {
    contribute { gradient, accumulating in
      if !accumulating { gradient.fill(with: 0) }
      Kernel.accumulate(sums, into: gradient)
    }
  }

  /// Adds a whole gradient.
  public func contribute(_ contribution: Tensor) {
    contribute { gradient, accumulating in
      accumulating
        ? Kernel.add(gradient, contribution, into: gradient) : gradient.write(contribution)
    }
  }

  /// Makes the gradient zero where nothing was contributed.
  public func completeGradient() {
    if !hasGradient { gradient.fill(with: 0) }
    hasGradient = true
  }

  /// Notes a use on a tape.
  func open() { openUses += 1 }

  /// Notes that a use has flowed back; whether it was the last.
  func close() -> Bool {
    openUses -= 1
    return openUses == 0
  }
}

/// A tensor that belongs to a model's state but is not trained, such as a running mean.
public final class Buffer {
  /// Its name in a state dictionary.
  public let name: String
  /// The value, which its layer writes to in place.
  public let value: Tensor

  /// Wraps an initial value, which the buffer owns from now on.
  public init(_ name: String, _ value: Tensor) {
    self.name = name
    self.value = value
  }
}

/// A number that belongs to a model's state, such as how many batches were seen.
public final class Counter {
  /// Its name in a state dictionary.
  public let name: String
  /// The number.
  public var value: Int64

  /// A counter that begins at `value`.
  public init(_ name: String, _ value: Int64 = 0) {
    self.name = name
    self.value = value
  }
}
