/// The loops on activations stored as `E`.
///
/// A new value holds the plain references; the modules of the instruction sets put vector forms in
/// their places.
public struct ElementKernels<E: KernelElement>: Sendable {
  /// The plain references.
  public init() {}

  /// Shifted sums and squares by column: x, rows, channels, K, sums.
  public var columnMoments: @Sendable (Source<E>, Int, Int, Input, Sums) -> Void = {
    columnMomentsReference($0, $1, $2, $3, $4)
  }
  /// Normalization by column: x, rows, channels, K, d, scale, bias, epilogue, y.
  public var columnNormalize:
    @Sendable (
      Source<E>, Int, Int, Input, Input, Input, Input, Epilogue<E>, Target<E>
    ) -> Void = { columnNormalizeReference($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  /// The backward sums by column: x, dy, rows, channels, K, d, mask, sums.
  public var columnGradientSums:
    @Sendable (Source<E>, Source<E>, Int, Int, Input, Input, RectifierMask<E>, Sums) -> Void = {
      columnGradientSumsReference($0, $1, $2, $3, $4, $5, $6, $7)
    }
  /// dx by column: x, dy, rows, channels, K, d, r, scale, mean, slope, dx.
  public var columnGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Input, Input, Input, Input, Input, Input, Target<E>
    ) -> Void = { columnGradientReference($0, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) }
  /// Sums by column: x, rows, channels, sums.
  public var columnSums: @Sendable (Source<E>, Int, Int, Sums) -> Void = {
    columnSumsReference($0, $1, $2, $3)
  }

  /// Layer norm by row: x, rows, width, period, gain, bias, rule, epilogue, y, saved, scratch.
  public var layerNormalize:
    @Sendable (
      Source<E>, Int, Int, Int, Input, Input, RowRule, Epilogue<E>, Target<E>, Output, Output
    ) -> Void = { (x, rows, width, period, gain, bias, rule, epilogue, y, saved, _) in
      rowNormalizeReference(true, x, rows, width, period, gain, bias, rule, epilogue, y, saved)
    }
  /// RMS norm by row: as ``layerNormalize``.
  public var rmsNormalize:
    @Sendable (
      Source<E>, Int, Int, Int, Input, Input, RowRule, Epilogue<E>, Target<E>, Output, Output
    ) -> Void = { (x, rows, width, period, gain, bias, rule, epilogue, y, saved, _) in
      rowNormalizeReference(false, x, rows, width, period, gain, bias, rule, epilogue, y, saved)
    }
  /// Layer norm backward: x, dy, rows, width, period, gain, saved, mask, dx, sums, scratch.
  public var layerGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Int, Input, Input, RectifierMask<E>, Target<E>, Sums, Output
    ) -> Void = { (x, dy, rows, width, period, gain, saved, mask, dx, sums, _) in
      rowGradientReference(true, x, dy, rows, width, period, gain, saved, mask, dx, sums)
    }
  /// RMS norm backward: as ``layerGradient``.
  public var rmsGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Int, Input, Input, RectifierMask<E>, Target<E>, Sums, Output
    ) -> Void = { (x, dy, rows, width, period, gain, saved, mask, dx, sums, _) in
      rowGradientReference(false, x, dy, rows, width, period, gain, saved, mask, dx, sums)
    }
  /// Group norm: x, shape, gain, bias, ε, epilogue, y, centers, inverses, scratch.
  public var groupNormalize:
    @Sendable (
      Source<E>, GroupShape, Input, Input, Double, Epilogue<E>, Target<E>, Output, Sums, Sums
    ) -> Void = { groupNormalizeReference($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  /// Group norm backward: x, dy, shape, gain, centers, inverses, mask, dx, sums, scratch.
  public var groupGradient:
    @Sendable (
      Source<E>, Source<E>, GroupShape, Input, Input, Sums, RectifierMask<E>, Target<E>, Sums, Sums
    ) -> Void = { groupGradientReference($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }
  /// Rows of one length: x, rows, width, gain, its count, ε, epilogue, y, saved.
  public var unitRows:
    @Sendable (
      Source<E>, Int, Int, Input, Int, Double, Epilogue<E>, Target<E>, Sums
    ) -> Void = { unitRowsReference($0, $1, $2, $3, $4, $5, $6, $7, $8) }
  /// Rows of one length backward: x, dy, rows, width, gain, its count, saved, mask, dx, sums.
  public var unitRowsGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Input, Int, Sums, RectifierMask<E>, Target<E>, Sums
    ) -> Void = { unitRowsGradientReference($0, $1, $2, $3, $4, $5, $6, $7, $8, $9) }

  /// Sum: a, b, count, y.
  public var add: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = {
    addReference($0, $1, $2, $3)
  }
  /// Sum with float32 numbers: a, b, count, y.
  public var addFloats: @Sendable (Source<E>, Input, Int, Target<E>) -> Void = {
    addFloatsReference($0, $1, $2, $3)
  }
  /// Adds to float32 sums: a, count, sums.
  public var accumulate: @Sendable (Source<E>, Int, Output) -> Void = {
    accumulateReference($0, $1, $2)
  }
  /// As float32: a, count, y.
  public var widen: @Sendable (Source<E>, Int, Output) -> Void = { widenReference($0, $1, $2) }
  /// From float32: a, count, y.
  public var narrow: @Sendable (Input, Int, Target<E>) -> Void = { narrowReference($0, $1, $2) }
  /// Row by row Σ a · b: a and b, each with how far apart its rows are, rows, size, sums.
  public var rowDots: @Sendable (Source<E>, Int, Source<E>, Int, Int, Int, Output) -> Void = {
    rowDotsReference($0, $1, $2, $3, $4, $5, $6)
  }
  /// Rows in float32, times a factor each, rounded: a, factors, rows, size, y and how far apart its rows are.
  public var narrowRows: @Sendable (Input, Input, Int, Int, Target<E>, Int) -> Void = {
    narrowRowsReference($0, $1, $2, $3, $4, $5)
  }
  /// Rows as float32: a and how far apart its rows are, rows, size, y.
  public var widenRows: @Sendable (Source<E>, Int, Int, Int, Output) -> Void = {
    widenRowsReference($0, $1, $2, $3, $4)
  }
  /// Rectifier: x, count, y.
  public var relu: @Sendable (Source<E>, Int, Target<E>) -> Void = { reluReference($0, $1, $2) }
  /// Rectifier backward: y, dy, count, dx.
  public var reluGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = {
    reluGradientReference($0, $1, $2, $3)
  }
  /// GELU: x, count, y.
  public var gelu: @Sendable (Source<E>, Int, Target<E>) -> Void = { geluReference($0, $1, $2) }
  /// GELU backward: x, dy, count, dx.
  public var geluGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = {
    geluGradientReference($0, $1, $2, $3)
  }
  /// GELU in its tanh form: x, count, y.
  public var geluTanh: @Sendable (Source<E>, Int, Target<E>) -> Void = {
    geluTanhReference($0, $1, $2)
  }
  /// Its backward pass: x, dy, count, dx.
  public var geluTanhGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = {
    geluTanhGradientReference($0, $1, $2, $3)
  }
  /// Sigmoid: x, count, y.
  public var sigmoid: @Sendable (Source<E>, Int, Target<E>) -> Void = {
    sigmoidReference($0, $1, $2)
  }
  /// Sigmoid backward: y, dy, count, dx.
  public var sigmoidGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = {
    sigmoidGradientReference($0, $1, $2, $3)
  }
  /// SwiGLU: gate, value, count, y.
  public var swiGLU: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = {
    swiGLUReference($0, $1, $2, $3)
  }
  /// SwiGLU backward: gate, value, dy, count, and the gradients of both.
  public var swiGLUGradient:
    @Sendable (Source<E>, Source<E>, Source<E>, Int, Target<E>, Target<E>) -> Void = {
      swiGLUGradientReference($0, $1, $2, $3, $4, $5)
    }
  /// Product with a number: x, factor, count, y.
  public var scale: @Sendable (Source<E>, Float, Int, Target<E>) -> Void = {
    scaleReference($0, $1, $2, $3)
  }
  /// Sum of squares: x, count.
  public var sumOfSquares: @Sendable (Source<E>, Int) -> Double = { sumOfSquaresReference($0, $1) }
}
