public import CIntrinsics
public import LockstepVectors

/// Where a rectified output is above 0, a bit an element: bit i mod 16 of word i / 16.
public typealias MaskWord = UInt16

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
  /// Where the backward pass finds what passed the rectifier; nil where it reads y for that.
  ///
  /// Rows have to be a multiple of 16 wide, so that vectors lie in words.
  public let mask: UnsafeMutablePointer<MaskWord>?

  /// Puts them together; without a residual, any address stands in its place.
  @_alwaysEmitIntoClient @_transparent
  public init(
    residual: Source<E>, adds: Bool, rectifies: Bool, mask: UnsafeMutablePointer<MaskWord>? = nil
  ) {
    self.residual = residual
    self.adds = adds
    self.rectifies = rectifies
    self.mask = mask
  }

  /// The same from element `count` on.
  @_alwaysEmitIntoClient @_transparent
  public func advanced(by count: Int) -> Epilogue {
    Epilogue(
      residual: residual + count, adds: adds, rectifies: rectifies,
      mask: mask.map { $0 + count / 16 })
  }

  /// What is written as element `i`.
  @_alwaysEmitIntoClient @_transparent
  public func result(_ value: Float, _ i: Int) -> Float {
    let sum = adds ? value + residual[i].float : value
    if let mask {
      let bit: MaskWord = 1 << MaskWord(i % 16)
      mask[i / 16] = sum > 0 ? mask[i / 16] | bit : mask[i / 16] & ~bit
    }
    return rectifies && sum < 0 ? 0 : sum
  }

  /// What is written as the sixteen elements from `i` on.
  @_alwaysEmitIntoClient @_transparent
  public func result(_ value: Vector, _ i: Int) -> Vector {
    if adds { prefetchRead(residual, i) }
    let sum = adds ? value + load(residual, i) : value
    if let mask { mask[i / 16] = positive_lanes(sum) }
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
  /// The rectified output y; not read where nothing is masked, or by a mask.
  public let output: Source<E>
  /// What the forward pass's epilogue left of y, to be read in its place; nil where there is none.
  public let mask: UnsafePointer<MaskWord>?
  /// Whether there is a rectifier.
  public let masks: Bool
  /// Where what passes is written, which may be dy's or the addend's memory; not written where nothing is
  /// added or masked.
  public let passed: Target<E>

  /// Puts them together; where nothing is added or masked, any addresses stand in their places.
  @_alwaysEmitIntoClient @_transparent
  public init(
    addend: Source<E>, adds: Bool, output: Source<E>, mask: UnsafePointer<MaskWord>? = nil,
    masks: Bool, passed: Target<E>
  ) {
    self.addend = addend
    self.adds = adds
    self.output = output
    self.mask = mask
    self.masks = masks
    self.passed = passed
  }

  /// The same from element `count` on.
  @_alwaysEmitIntoClient @_transparent
  public func advanced(by count: Int) -> EpilogueGradient {
    EpilogueGradient(
      addend: addend + count, adds: adds, output: output + count,
      mask: mask.map { $0 + count / 16 }, masks: masks, passed: passed + count)
  }

  /// What passes of element `i`, which is also written.
  @_alwaysEmitIntoClient @_transparent
  public func pass(_ dy: Float, _ i: Int) -> Float {
    guard adds || masks else { return dy }
    let sum = adds ? dy + addend[i].float : dy
    func isPositive() -> Bool {
      mask.map { $0[i / 16] >> MaskWord(i % 16) & 1 == 1 } ?? (output[i].float > 0)
    }
    let passes: Float = !masks || isPositive() ? sum : 0
    passed[i] = E(passes)
    return passes
  }

  /// What passes of the sixteen elements from `i` on, which is also written.
  @_alwaysEmitIntoClient @_transparent
  public func pass(_ dy: Vector, _ i: Int) -> Vector {
    guard adds || masks else { return dy }
    var passes = adds ? dy + load(addend, i) : dy
    if let mask {
      passes = selected_lanes(passes, mask[i / 16])
    } else if masks {
      prefetchRead(output, i)
      passes = masked(passes, by: load(output, i))
    }
    store(passes, passed, i)
    return passes
  }

  /// Where a second sweep finds what passed: dy itself, where nothing is added or masked.
  @_alwaysEmitIntoClient @_transparent
  public func second(_ dy: Source<E>) -> Source<E> {
    adds || masks ? UnsafePointer(passed) : dy
  }
}
