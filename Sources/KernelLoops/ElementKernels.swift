public import LockstepTensors
public import LockstepVectors

/// The loops on activations stored as `E`.
///
/// A new value holds the plain references; the modules of the instruction sets put vector forms in
/// their places.
public struct ElementKernels<E: KernelElement>: Sendable {
  /// The plain references.
  init() {}

  /// Shifted sums and squares by column: x, rows, channels, K, sums.
  public var columnMoments: @Sendable (Source<E>, Int, Int, Input, Sums) -> Void =
    columnMomentsReference
  /// Normalization by column: x, rows, channels, K, d, scale, bias, epilogue, y.
  public var columnNormalize:
    @Sendable (
      Source<E>, Int, Int, Input, Input, Input, Input, Epilogue<E>, Target<E>
    ) -> Void = columnNormalizeReference
  /// The backward sums by column: x, dy, rows, channels, K, d, epilogue, sums.
  public var columnGradientSums:
    @Sendable (Source<E>, Source<E>, Int, Int, Input, Input, EpilogueGradient<E>, Sums) -> Void =
      columnGradientSumsReference
  /// dx by column: x, dy, rows, channels, K, d, r, scale, mean, slope, dx.
  public var columnGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Input, Input, Input, Input, Input, Input, Target<E>
    ) -> Void = columnGradientReference
  /// Sums by column: x, rows, channels, sums.
  public var columnSums: @Sendable (Source<E>, Int, Int, Sums) -> Void = columnSumsReference

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
  /// Layer norm backward: x, dy, rows, width, period, gain, saved, epilogue, dx, sums, scratch.
  public var layerGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Int, Input, Input, EpilogueGradient<E>, Target<E>, Sums,
      Output
    ) -> Void = { (x, dy, rows, width, period, gain, saved, epilogue, dx, sums, _) in
      rowGradientReference(true, x, dy, rows, width, period, gain, saved, epilogue, dx, sums)
    }
  /// RMS norm backward: as ``layerGradient``.
  public var rmsGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Int, Input, Input, EpilogueGradient<E>, Target<E>, Sums,
      Output
    ) -> Void = { (x, dy, rows, width, period, gain, saved, epilogue, dx, sums, _) in
      rowGradientReference(false, x, dy, rows, width, period, gain, saved, epilogue, dx, sums)
    }
  /// Group norm: x, shape, gain, bias, ε, epilogue, y, centers, inverses, scratch.
  public var groupNormalize:
    @Sendable (
      Source<E>, GroupShape, Input, Input, Double, Epilogue<E>, Target<E>, Output, Sums, Sums
    ) -> Void = groupNormalizeReference
  /// Group norm backward: x, dy, shape, gain, centers, inverses, epilogue, dx, sums, scratch.
  public var groupGradient:
    @Sendable (
      Source<E>, Source<E>, GroupShape, Input, Input, Sums, EpilogueGradient<E>, Target<E>, Sums,
      Sums
    ) -> Void = groupGradientReference
  /// Dynamic tanh: x, rows, width, α, gain, bias, y.
  public var dynamicTanh: @Sendable (Source<E>, Int, Int, Float, Input, Input, Target<E>) -> Void =
    dynamicTanhReference
  /// Dynamic tanh backward: x, dy, rows, width, α, gain, dx, sums, scratch; the gradient of α.
  public var dynamicTanhGradient:
    @Sendable (Source<E>, Source<E>, Int, Int, Float, Input, Target<E>, Sums, Output) -> Double = {
      (x, dy, rows, width, alpha, gain, dx, sums, _) in
      dynamicTanhGradientReference(x, dy, rows, width, alpha, gain, dx, sums)
    }
  /// Sums of products by groups of channels: a, b, rows, groups, scratch, sums.
  public var groupProducts:
    @Sendable (CenteredRows<E>, CenteredRows<E>, Int, ChannelGroups, Sums, Sums) -> Void =
      groupProductsReference
  /// Products with matrices by groups of channels: a, A, b, B, adds b, bias, rows, groups, scratch, y.
  public var groupTransform:
    @Sendable (
      CenteredRows<E>, Sums, CenteredRows<E>, Sums, Bool, Sums, Int, ChannelGroups, Sums, Target<E>
    ) -> Void = groupTransformReference
  /// Rows of one length: x, rows, width, gain, its count, ε, epilogue, y, saved.
  public var unitRows:
    @Sendable (
      Source<E>, Int, Int, Input, Int, Double, Epilogue<E>, Target<E>, Sums
    ) -> Void = unitRowsReference
  /// Rows of one length backward: x, dy, rows, width, gain, its count, saved, epilogue, dx, sums.
  public var unitRowsGradient:
    @Sendable (
      Source<E>, Source<E>, Int, Int, Input, Int, Sums, EpilogueGradient<E>, Target<E>, Sums
    ) -> Void = unitRowsGradientReference

  /// Sum: a, b, count, y.
  public var add: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = addReference
  /// Sum with float32 numbers: a, b, count, y.
  public var addFloats: @Sendable (Source<E>, Input, Int, Target<E>) -> Void = addFloatsReference
  /// Adds to float32 sums: a, count, sums.
  public var accumulate: @Sendable (Source<E>, Int, Output) -> Void = accumulateReference
  /// As float32: a, count, y.
  public var widen: @Sendable (Source<E>, Int, Output) -> Void = widenReference
  /// From float32: a, count, y.
  public var narrow: @Sendable (Input, Int, Target<E>) -> Void = narrowReference
  /// Row by row Σ a · b: a and b, each with how far apart its rows are, rows, size, sums.
  public var rowDots: @Sendable (Source<E>, Int, Source<E>, Int, Int, Int, Output) -> Void =
    rowDotsReference
  /// Rows in float32, times a factor each, rounded: a, factors, rows, size, y and how far apart its rows are.
  public var narrowRows: @Sendable (Input, Input, Int, Int, Target<E>, Int) -> Void =
    narrowRowsReference
  /// Rows as float32: a and how far apart its rows are, rows, size, y.
  public var widenRows: @Sendable (Source<E>, Int, Int, Int, Output) -> Void = widenRowsReference
  /// Rectifier: x, count, y.
  public var relu: @Sendable (Source<E>, Int, Target<E>) -> Void = reluReference
  /// Rectifier backward: y, dy, count, dx.
  public var reluGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void =
    reluGradientReference
  /// GELU: x, count, y.
  public var gelu: @Sendable (Source<E>, Int, Target<E>) -> Void = geluReference
  /// GELU backward: x, dy, count, dx.
  public var geluGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void =
    geluGradientReference
  /// GELU in its tanh form: x, count, y.
  public var geluTanh: @Sendable (Source<E>, Int, Target<E>) -> Void = geluTanhReference
  /// Its backward pass: x, dy, count, dx.
  public var geluTanhGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void =
    geluTanhGradientReference
  /// Sigmoid: x, count, y.
  public var sigmoid: @Sendable (Source<E>, Int, Target<E>) -> Void = sigmoidReference
  /// Sigmoid backward: y, dy, count, dx.
  public var sigmoidGradient: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void =
    sigmoidGradientReference
  /// SwiGLU: gate, value, count, y.
  public var swiGLU: @Sendable (Source<E>, Source<E>, Int, Target<E>) -> Void = swiGLUReference
  /// SwiGLU backward: gate, value, dy, count, and the gradients of both.
  public var swiGLUGradient:
    @Sendable (Source<E>, Source<E>, Source<E>, Int, Target<E>, Target<E>) -> Void =
      swiGLUGradientReference
  /// Product with a number: x, factor, count, y.
  public var scale: @Sendable (Source<E>, Float, Int, Target<E>) -> Void = scaleReference
  /// Sum of squares: x, count.
  public var sumOfSquares: @Sendable (Source<E>, Int) -> Double = sumOfSquaresReference
}

extension ElementKernels where E == Float {
  /// The plain references on float32.
  public static let plain = ElementKernels()
}

extension ElementKernels where E == BFloat16 {
  /// The plain references on bfloat16.
  public static let plain = ElementKernels()
}
