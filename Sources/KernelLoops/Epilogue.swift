public import LockstepVectors

/// What a norm does with its output before it writes it: adds a residual, rectifies, both or neither.
///
///     y = norm(x),  norm(x) + residual,  max(norm(x), 0)  or  max(norm(x) + residual, 0)
///
/// One pass instead of three: neither the norm's output nor the sum is written and read again.
public struct Epilogue<E: KernelElement> {
  /// The residual, element for element; not read where none is added.
  public let residual: Source<E>
  /// Whether a residual is added.
  public let adds: Bool
  /// Whether the result is rectified.
  public let rectifies: Bool

  /// Puts the three together; without a residual, any address stands in its place.
  @_alwaysEmitIntoClient @_transparent
  public init(residual: Source<E>, adds: Bool, rectifies: Bool) {
    self.residual = residual
    self.adds = adds
    self.rectifies = rectifies
  }

  /// The same from element `count` on.
  @_alwaysEmitIntoClient @_transparent
  public func advanced(by count: Int) -> Epilogue {
    Epilogue(residual: residual + count, adds: adds, rectifies: rectifies)
  }

  /// What is written as element `i`.
  @_alwaysEmitIntoClient @_transparent
  public func result(_ value: Float, _ i: Int) -> Float {
    let sum = adds ? value + residual[i].float : value
    return rectifies && sum < 0 ? 0 : sum
  }

  /// What is written as the sixteen elements from `i` on.
  @_alwaysEmitIntoClient @_transparent
  public func result(_ value: Vector, _ i: Int) -> Vector {
    if adds { prefetchRead(residual, i) }
    let sum = adds ? value + load(residual, i) : value
    return rectifies ? rectified(sum) : sum
  }
}

/// dy on its way back through the epilogue: of the sum of two gradients, what passes the rectifier.
///
///     passes = dy,  dy + addend,  dy where y > 0  or  dy + addend where y > 0
///
/// What passes is written, since the residual takes it too, and a second sweep reads it: rounded to bfloat16
/// there, whereas the sums of the first sweep take the number before.
public struct EpilogueGradient<E: KernelElement> {
  /// The second gradient, element for element; not read where none is added.
  public let addend: Source<E>
  /// Whether a second gradient is added.
  public let adds: Bool
  /// The rectified output y; not read where nothing is masked.
  public let output: Source<E>
  /// Whether there is a rectifier.
  public let masks: Bool
  /// Where what passes is written, which may be dy's or the addend's memory; not written where nothing is
  /// added or masked.
  public let passed: Target<E>

  /// Puts them together; where nothing is added or masked, any addresses stand in their places.
  @_alwaysEmitIntoClient @_transparent
  public init(
    addend: Source<E>, adds: Bool, output: Source<E>, masks: Bool, passed: Target<E>
  ) {
    self.addend = addend
    self.adds = adds
    self.output = output
    self.masks = masks
    self.passed = passed
  }

  /// The same from element `count` on.
  @_alwaysEmitIntoClient @_transparent
  public func advanced(by count: Int) -> EpilogueGradient {
    EpilogueGradient(
      addend: addend + count, adds: adds, output: output + count, masks: masks,
      passed: passed + count)
  }

  /// What passes of element `i`, which is also written.
  @_alwaysEmitIntoClient @_transparent
  public func pass(_ dy: Float, _ i: Int) -> Float {
    guard adds || masks else { return dy }
    let sum = adds ? dy + addend[i].float : dy
    let passes: Float = !masks || output[i].float > 0 ? sum : 0
    passed[i] = E(passes)
    return passes
  }

  /// What passes of the sixteen elements from `i` on, which is also written.
  @_alwaysEmitIntoClient @_transparent
  public func pass(_ dy: Vector, _ i: Int) -> Vector {
    guard adds || masks else { return dy }
    if masks { prefetchRead(output, i) }
    let sum = adds ? dy + load(addend, i) : dy
    let passes = masks ? masked(sum, by: load(output, i)) : sum
    store(passes, passed, i)
    return passes
  }

  /// Where a second sweep finds what passed: dy itself, where nothing is added or masked.
  @_alwaysEmitIntoClient @_transparent
  public func second(_ dy: Source<E>) -> Source<E> {
    adds || masks ? UnsafePointer(passed) : dy
  }
}
