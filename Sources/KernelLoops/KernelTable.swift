/// Every numeric loop, for one instruction set.
///
/// A new table holds the plain references; the modules of the instruction sets put vector forms in
/// their places.
public struct KernelTable: Sendable {
  /// The name of the instruction set: `"reference"`, `"baseline"`, `"x86-64-v3"` or `"x86-64-v4"`.
  public let name: String

  /// The table of plain references, under `name`.
  public init(_ name: String = "reference") { self.name = name }

  /// The class of each row.
  public typealias Labels = UnsafePointer<Int32>

  /// Shifted sums and squares by column: x, rows, channels, K, sums.
  public var columnMoments: @Sendable (Input, Int, Int, Input, Sums) -> Void =
    columnMomentsReference
  /// Normalization by column: x, rows, channels, K, d, scale, bias, y.
  public var columnNormalize:
    @Sendable (Input, Int, Int, Input, Input, Input, Input, Output) -> Void =
      columnNormalizeReference
  /// The backward sums by column: x, dy, rows, channels, K, d, sums.
  public var columnGradientSums: @Sendable (Input, Input, Int, Int, Input, Input, Sums) -> Void =
    columnGradientSumsReference
  /// dx by column: x, dy, rows, channels, K, d, r, scale, mean, slope, dx.
  public var columnGradient:
    @Sendable (Input, Input, Int, Int, Input, Input, Input, Input, Input, Input, Output) -> Void =
      columnGradientReference
  /// Sums by column: x, rows, channels, sums.
  public var columnSums: @Sendable (Input, Int, Int, Sums) -> Void = columnSumsReference

  /// Layer norm by row: x, rows, width, period, gain, bias, rule, y, saved, scratch.
  public var layerNormalize:
    @Sendable (Input, Int, Int, Int, Input, Input, RowRule, Output, Output, Output) -> Void = {
      (x, rows, width, period, gain, bias, rule, y, saved, _) in
      rowNormalizeReference(true, x, rows, width, period, gain, bias, rule, y, saved)
    }
  /// RMS norm by row: as ``layerNormalize``.
  public var rmsNormalize:
    @Sendable (Input, Int, Int, Int, Input, Input, RowRule, Output, Output, Output) -> Void = {
      (x, rows, width, period, gain, bias, rule, y, saved, _) in
      rowNormalizeReference(false, x, rows, width, period, gain, bias, rule, y, saved)
    }
  /// Layer norm backward: x, dy, rows, width, period, gain, saved, dx, sums, scratch.
  public var layerGradient:
    @Sendable (Input, Input, Int, Int, Int, Input, Input, Output, Sums, Output) -> Void = {
      (x, dy, rows, width, period, gain, saved, dx, sums, _) in
      rowGradientReference(true, x, dy, rows, width, period, gain, saved, dx, sums)
    }
  /// RMS norm backward: as ``layerGradient``.
  public var rmsGradient:
    @Sendable (Input, Input, Int, Int, Int, Input, Input, Output, Sums, Output) -> Void = {
      (x, dy, rows, width, period, gain, saved, dx, sums, _) in
      rowGradientReference(false, x, dy, rows, width, period, gain, saved, dx, sums)
    }

  /// Sum: a, b, count, y.
  public var add: @Sendable (Input, Input, Int, Output) -> Void = addReference
  /// Rectifier: x, count, y.
  public var relu: @Sendable (Input, Int, Output) -> Void = reluReference
  /// Rectifier backward: y, dy, count, dx.
  public var reluGradient: @Sendable (Input, Input, Int, Output) -> Void = reluGradientReference
  /// GELU: x, count, y.
  public var gelu: @Sendable (Input, Int, Output) -> Void = geluReference
  /// GELU backward: x, dy, count, dx.
  public var geluGradient: @Sendable (Input, Input, Int, Output) -> Void = geluGradientReference
  /// GELU in its tanh form: x, count, y.
  public var geluTanh: @Sendable (Input, Int, Output) -> Void = geluTanhReference
  /// Its backward pass: x, dy, count, dx.
  public var geluTanhGradient: @Sendable (Input, Input, Int, Output) -> Void =
    geluTanhGradientReference
  /// Sigmoid: x, count, y.
  public var sigmoid: @Sendable (Input, Int, Output) -> Void = sigmoidReference
  /// Sigmoid backward: y, dy, count, dx.
  public var sigmoidGradient: @Sendable (Input, Input, Int, Output) -> Void =
    sigmoidGradientReference
  /// SwiGLU: gate, value, count, y.
  public var swiGLU: @Sendable (Input, Input, Int, Output) -> Void = swiGLUReference
  /// SwiGLU backward: gate, value, dy, count, and the gradients of both.
  public var swiGLUGradient: @Sendable (Input, Input, Input, Int, Output, Output) -> Void =
    swiGLUGradientReference
  /// A tile of attention: scores, rows, columns, visible, cap, largest, sums, factors.
  public var attentionTile:
    @Sendable (Output, Int, Int, Int, Float, Output, Output, Output) -> Void =
      attentionTileReference
  /// Its backward pass: scores, gradients, rows, columns, visible, cap, log sums, dots.
  public var attentionTileGradient:
    @Sendable (Output, Output, Int, Int, Int, Float, Input, Input) -> Void =
      attentionTileGradientReference
  /// Product with a number: x, factor, count, y.
  public var scale: @Sendable (Input, Float, Int, Output) -> Void = scaleReference
  /// Sum of squares: x, count.
  public var sumOfSquares: @Sendable (Input, Int) -> Double = sumOfSquaresReference

  /// Softmax cross-entropy: logits, labels, rows, classes, probabilities, sums.
  public var crossEntropy: @Sendable (Input, Labels, Int, Int, Output, Sums) -> Void =
    crossEntropyReference
  /// Its gradient: probabilities, labels, rows, classes, seed, dx.
  public var crossEntropyGradient: @Sendable (Input, Labels, Int, Int, Float, Output) -> Void = {
    crossEntropyGradientLoop($0, $1, $2, $3, $4, $5)
  }
  /// A step of SGD: p, g, velocity, count, numbers.
  public var sgd: @Sendable (Output, Input, Output, Int, SGDStep) -> Void = {
    sgdLoop($0, $1, $2, $3, $4)
  }
  /// A step of AdamW: p, g, first and second moment, count, numbers.
  public var adamW: @Sendable (Output, Input, Output, Output, Int, AdamWStep) -> Void = {
    adamWLoop($0, $1, $2, $3, $4, $5)
  }
  /// Matrix product: a, b, m, n, k, accumulating, c.
  public var matrixProduct: @Sendable (Input, Input, Int, Int, Int, Bool, Output) -> Void =
    matrixProductReference
  /// A small product: a, b, m, n, k, factor, accumulating, c, its stride, scratch.
  public var smallProduct:
    @Sendable (Strided, Strided, Int, Int, Int, Float, Bool, Output, Int, Output) -> Void =
      smallProductReference
}
