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
    let sum = adds ? value + load(residual, i) : value
    return rectifies ? rectified(sum) : sum
  }
}

/// The other way: what of dy passes the rectifier behind a norm.
///
/// The gradients that pass are written, since the residual takes them too, and a second sweep reads them.
public struct RectifierMask<E: KernelElement> {
  /// The rectified output y; not read where nothing is masked.
  public let output: Source<E>
  /// dy where y is above 0, else 0; not written where nothing is masked.
  public let passed: Target<E>
  /// Whether there is a rectifier.
  public let masks: Bool

  /// Puts the three together; where nothing is masked, any addresses stand in their places.
  @_alwaysEmitIntoClient @_transparent
  public init(output: Source<E>, passed: Target<E>, masks: Bool) {
    self.output = output
    self.passed = passed
    self.masks = masks
  }

  /// The same from element `count` on.
  @_alwaysEmitIntoClient @_transparent
  public func advanced(by count: Int) -> RectifierMask {
    RectifierMask(output: output + count, passed: passed + count, masks: masks)
  }

  /// What passes of element `i`, which is noted.
  @_alwaysEmitIntoClient @_transparent
  public func pass(_ dy: Float, _ i: Int) -> Float {
    guard masks else { return dy }
    let passes: Float = output[i].float > 0 ? dy : 0
    passed[i] = E(passes)
    return passes
  }

  /// What passes of the sixteen elements from `i` on, which are noted.
  @_alwaysEmitIntoClient @_transparent
  public func pass(_ dy: Vector, _ i: Int) -> Vector {
    guard masks else { return dy }
    let passes = masked(dy, by: load(output, i))
    store(passes, passed, i)
    return passes
  }

  /// Where a second sweep finds what passed: dy itself, where nothing is masked.
  @_alwaysEmitIntoClient @_transparent
  public func second(_ dy: Source<E>) -> Source<E> { masks ? UnsafePointer(passed) : dy }
}
