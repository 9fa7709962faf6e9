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

  /// Adds `residual` where there is one, then rectifies where asked.
  public init(adding residual: Tensor? = nil, rectifies: Bool = false) {
    self.residual = residual
    self.rectifies = rectifies
  }

  /// The epilogue of a loop whose output is `y`.
  func loop<E: TensorElement>(_: E.Type, of y: Tensor) -> Epilogue<E> {
    if let residual {
      precondition(residual.count == y.count && residual.precision == y.precision)
      return Epilogue(residual: E.source(residual), adds: true, rectifies: rectifies)
    }
    return Epilogue(residual: E.source(y), adds: false, rectifies: rectifies)
  }
}

/// The gradient of a norm's output on its way back through what the epilogue did.
public struct OutputGradient: Sendable {
  /// dy.
  public let dy: Tensor
  /// What passes the rectifier, which is also the residual's gradient: dy itself where there is no rectifier,
  /// else memory that the norm's backward pass writes.
  public let passed: Tensor
  /// Where the norm's backward pass writes dx.
  let dx: Tensor
  private let output: Tensor?

  /// The gradient of an output.
  ///
  /// - Parameters:
  ///   - dy: The gradient.
  ///   - output: The rectified output, where there was a rectifier.
  ///   - hasResidual: Whether a residual needs what passes after dx is written.
  ///   - overwriting: Whether dy may be written over.
  public init(
    _ dy: Tensor, rectified output: Tensor? = nil, hasResidual: Bool = false,
    overwriting: Bool = false
  ) {
    func fresh() -> Tensor { .uninitialized(dy.shape, dy.precision) }
    self.dy = dy
    self.output = output
    passed = output == nil || overwriting ? dy : fresh()
    dx = !hasResidual && (overwriting || output != nil) ? passed : fresh()
  }

  /// The same with dx in memory of its own, so that what passes is there afterwards.
  public var keepingPassed: OutputGradient {
    OutputGradient(dy, passed: passed, dx: .uninitialized(dy.shape, dy.precision), output)
  }

  private init(_ dy: Tensor, passed: Tensor, dx: Tensor, _ output: Tensor?) {
    (self.dy, self.passed, self.dx, self.output) = (dy, passed, dx, output)
  }

  /// The mask of a loop that writes what passes.
  func mask<E: TensorElement>(_: E.Type) -> RectifierMask<E> {
    guard let output else {
      return RectifierMask(output: E.source(dy), passed: E.target(dy), masks: false)
    }
    precondition(output.count == dy.count && output.precision == dy.precision)
    return RectifierMask(output: E.source(output), passed: E.target(passed), masks: true)
  }
}
