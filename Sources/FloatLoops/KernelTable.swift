public import LockstepKernelLoops
public import LockstepTensors
public import LockstepVectors

/// Every numeric loop, for one instruction set: those on activations in both precisions.
///
/// A new table holds the plain references; the modules of the instruction sets put vector forms in
/// their places.
public struct KernelTable: Sendable {
  /// The name of the instruction set: `"reference"`, `"baseline"`, `"x86-64-v3"`, `"x86-64-v4"` or
  /// `"x86-64-v4-bf16"`.
  public let name: String

  /// The table of plain references, under `name`.
  public init(_ name: String = "reference") { self.name = name }

  /// The class of each row.
  public typealias Labels = UnsafePointer<Int32>

  /// The loops on float32 activations.
  public var float32 = ElementKernels<Float>.plain
  /// The loops on bfloat16 activations.
  public var bfloat16 = ElementKernels<BFloat16>.plain

  /// A tile of attention: scores, rows, columns, visible, scale, cap, largest, sums, factors.
  public var attentionTile:
    @Sendable (Output, Int, Int, Int, Float, Float, Output, Output, Output) -> Void =
      attentionTileReference
  /// Its backward pass: scores, gradients, rows, columns, visible, scale, cap, log sums, dots.
  public var attentionTileGradient:
    @Sendable (Output, Output, Int, Int, Int, Float, Float, Input, Input) -> Void =
      attentionTileGradientReference
  /// Softmax cross-entropy: logits, labels, rows, classes, probabilities, sums.
  public var crossEntropy: @Sendable (Input, Labels, Int, Int, Output, Sums) -> Void =
    crossEntropyReference
  /// Its gradient: probabilities, labels, rows, classes, seed, dx.
  public var crossEntropyGradient: @Sendable (Input, Labels, Int, Int, Float, Output) -> Void = {
    crossEntropyGradientLoop($0, $1, $2, $3, $4, $5)
  }
  /// An LSTM's gates and next cell: gates, cell, rows, width, next.
  public var lstmCell: @Sendable (Output, Input, Int, Int, Output) -> Void = lstmCellReference
  /// Its output: gates, z, rows, width, tanh z, h.
  public var lstmOutput: @Sendable (Input, Input, Int, Int, Output, Output) -> Void =
    lstmOutputReference
  /// The output's backward pass: gates, tanh z, dh, rows, width, da, dz.
  public var lstmOutputGradient: @Sendable (Input, Input, Input, Int, Int, Output, Output) -> Void =
    lstmOutputGradientReference
  /// The cell's backward pass: gates, cell, dz, rows, width, da, dcell.
  public var lstmCellGradient: @Sendable (Input, Input, Input, Int, Int, Output, Output) -> Void =
    lstmCellGradientReference
  /// A step of SGD: p, g, velocity, count, numbers.
  public var sgd: @Sendable (Output, Input, Output, Int, SGDStep) -> Void = {
    sgdLoop($0, $1, $2, $3, $4)
  }
  /// A step of AdamW: p, g, first and second moment, count, numbers.
  public var adamW: @Sendable (Output, Input, Output, Output, Int, AdamWStep) -> Void =
    adamWReference
  /// Matrix product: a, b, m, n, k, accumulating, c.
  public var matrixProduct: @Sendable (Input, Input, Int, Int, Int, Bool, Output) -> Void =
    matrixProductReference
  /// A small product: a, b, m, n, k, factor, accumulating, c, its stride, scratch.
  public var smallProduct:
    @Sendable (Strided, Strided, Int, Int, Int, Float, Bool, Output, Int, Output) -> Void =
      smallProductReference
}
