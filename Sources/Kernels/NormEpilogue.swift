import LockstepKernelLoops
public import LockstepTensors

/// What a norm does with its output in the pass that writes it: adds a residual, rectifies, both or neither.
///
///     y = norm(x),  norm(x) + residual,  max(norm(x), 0)  or  max(norm(x) + residual, 0)
public struct NormEpilogue: Sendable {
  /// The output is the norm's.
  public static let none = NormEpilogue()

  /// What is added, in the output's shape and precision; nil for nothing.
  public let residual: Tensor?
  /// Whether the result is rectified.
  public let rectifies: Bool
  /// What the pass writes beside a rectified output, so that the backward pass need not read that; nil for
  /// nothing.
  public let mask: RectifierMask?

  /// Adds `residual` where there is one, then rectifies where asked, and fills `mask`.
  public init(
    adding residual: Tensor? = nil, rectifies: Bool = false, mask: RectifierMask? = nil
  ) {
    self.residual = residual
    self.rectifies = rectifies
    self.mask = rectifies ? mask : nil
  }

  /// The same output without a mask.
  public var withoutMask: NormEpilogue { NormEpilogue(adding: residual, rectifies: rectifies) }

  /// The epilogue of a loop whose output is `y`, in rows of `width`; nil for all channels.
  func loop<E: TensorElement>(_: E.Type, of y: Tensor, width: Int? = nil) -> Epilogue<E> {
    if let residual {
      precondition(residual.count == y.count && residual.precision == y.precision)
    }
    let width = width ?? y.shape.channels
    precondition(mask.map { $0.count == y.count && $0.width == width } ?? true)
    return Epilogue(
      residual: E.source(residual ?? y), adds: residual != nil, rectifies: rectifies,
      mask: mask?.words.pointer)
  }
}

/// Where a rectified output is above 0, in a bit an element: a sixteenth of a bfloat16 output, and a
/// thirty-second of a float32 one.
public struct RectifierMask: Sendable {
  let count: Int
  let width: Int
  let words: Storage<MaskWord>

  /// A mask to be filled for an output of `shape` in rows of `width`; nil where that is no multiple of 16, so
  /// that rows would share words.
  public init?(_ shape: Shape, width: Int) {
    guard width % 16 == 0, shape.channels % width == 0 else { return nil }
    count = shape.count
    self.width = width
    words = Storage(count: count / 16)
  }
}

/// The gradient of a norm's output on its way back through what the epilogue did.
public struct OutputGradient: Sendable {
  /// dy, or the first of the two gradients whose sum it is.
  let dy: Tensor
  private let addend: Tensor?
  private let output: Tensor?
  private let mask: RectifierMask?
  /// What passes the rectifier, which is also the residual's gradient: dy itself where there is no rectifier
  /// and nothing is added, else memory that the norm's backward pass writes.
  public let passed: Tensor
  /// Where the norm's backward pass writes dx.
  let dx: Tensor

  /// The gradient of an output.
  ///
  /// - Parameters:
  ///   - dy: The gradient.
  ///   - addend: A second gradient, which the norm's backward pass adds to dy; nil for none.
  ///   - output: The rectified output, where there was a rectifier and there is no mask.
  ///   - mask: What the forward pass filled, where there was a rectifier.
  ///   - hasResidual: Whether a residual needs what passes after dx is written.
  ///   - overwriting: Whether dy may be written over.
  ///   - overwritingAddend: Whether the second gradient may be written over.
  public init(
    _ dy: Tensor, adding addend: Tensor? = nil, rectified output: Tensor? = nil,
    mask: RectifierMask? = nil, hasResidual: Bool = false, overwriting: Bool = false,
    overwritingAddend: Bool = false
  ) {
    func fresh() -> Tensor { .uninitialized(dy.shape, dy.precision) }
    self.dy = dy
    self.addend = addend
    self.output = output
    self.mask = mask
    let writes = output != nil || mask != nil || addend != nil
    // Memory that nobody needs once both gradients are read, and that is in the caches then.
    var free = writes && overwriting ? [dy] : []
    if overwritingAddend, let addend { free.append(addend) }
    passed = writes ? free.popLast() ?? fresh() : dy
    dx = !hasResidual && (writes || overwriting) ? passed : free.popLast() ?? fresh()
  }

  /// The same with dx in memory of its own, so that what passes is there afterwards.
  public var keepingPassed: OutputGradient {
    OutputGradient(self, dx: .uninitialized(dy.shape, dy.precision))
  }

  private init(_ other: OutputGradient, dx: Tensor) {
    (dy, addend, passed) = (other.dy, other.addend, other.passed)
    (output, mask) = (other.output, other.mask)
    self.dx = dx
  }

  /// What a loop makes of dy before it takes it.
  func loop<E: TensorElement>(_: E.Type) -> EpilogueGradient<E> {
    for tensor in [addend, output].compactMap(\.self) {
      precondition(tensor.count == dy.count && tensor.precision == dy.precision)
    }
    precondition(mask.map { $0.count == dy.count } ?? true)
    return EpilogueGradient(
      addend: E.source(addend ?? dy), adds: addend != nil, output: E.source(output ?? dy),
      mask: mask.map { UnsafePointer($0.words.pointer) }, masks: output != nil || mask != nil,
      passed: E.target(passed))
  }
}
