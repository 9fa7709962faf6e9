/// Every numeric loop, for one instruction set. A new table holds the plain references; the
/// modules of the instruction sets put vector forms in their places.
public struct KernelTable: Sendable {
  /// The name of the instruction set: `"reference"`, `"baseline"`, `"x86-64-v3"` or `"x86-64-v4"`.
  public let name: String

  /// The table of plain references, under `name`.
  public init(_ name: String = "reference") { self.name = name }

  public typealias Labels = UnsafePointer<Int32>

  public var columnMoments: @Sendable (Input, Int, Int, Input, Sums) -> Void =
    columnMomentsReference
  public var columnNormalize:
    @Sendable (Input, Int, Int, Input, Input, Input, Input, Output) -> Void =
      columnNormalizeReference
  public var columnGradientSums: @Sendable (Input, Input, Int, Int, Input, Input, Sums) -> Void =
    columnGradientSumsReference
  public var columnGradient:
    @Sendable (Input, Input, Int, Int, Input, Input, Input, Input, Input, Output) -> Void =
      columnGradientReference
  public var columnSums: @Sendable (Input, Int, Int, Sums) -> Void = columnSumsReference

  public var layerNormalize:
    @Sendable (Input, Int, Int, Int, Input, Input, RowRule, Output, Output, Output) -> Void = {
      (x, rows, width, period, gain, bias, rule, y, saved, _) in
      rowNormalizeReference(true, x, rows, width, period, gain, bias, rule, y, saved)
    }
  public var rmsNormalize:
    @Sendable (Input, Int, Int, Int, Input, Input, RowRule, Output, Output, Output) -> Void = {
      (x, rows, width, period, gain, bias, rule, y, saved, _) in
      rowNormalizeReference(false, x, rows, width, period, gain, bias, rule, y, saved)
    }
  public var layerGradient:
    @Sendable (Input, Input, Int, Int, Int, Input, Input, Output, Sums, Output) -> Void = {
      (x, dy, rows, width, period, gain, saved, dx, sums, _) in
      rowGradientReference(true, x, dy, rows, width, period, gain, saved, dx, sums)
    }
  public var rmsGradient:
    @Sendable (Input, Input, Int, Int, Int, Input, Input, Output, Sums, Output) -> Void = {
      (x, dy, rows, width, period, gain, saved, dx, sums, _) in
      rowGradientReference(false, x, dy, rows, width, period, gain, saved, dx, sums)
    }

  public var add: @Sendable (Input, Input, Int, Output) -> Void = addReference
  public var relu: @Sendable (Input, Int, Output) -> Void = reluReference
  public var reluGradient: @Sendable (Input, Input, Int, Output) -> Void = reluGradientReference
  public var gelu: @Sendable (Input, Int, Output) -> Void = geluReference
  public var geluGradient: @Sendable (Input, Input, Int, Output) -> Void = geluGradientReference
  public var scale: @Sendable (Input, Float, Int, Output) -> Void = scaleReference
  public var sumOfSquares: @Sendable (Input, Int) -> Double = sumOfSquaresReference

  public var crossEntropy: @Sendable (Input, Labels, Int, Int, Output, Sums) -> Void =
    crossEntropyReference
  public var crossEntropyGradient: @Sendable (Input, Labels, Int, Int, Float, Output) -> Void = {
    crossEntropyGradientLoop($0, $1, $2, $3, $4, $5)
  }
  public var sgd: @Sendable (Output, Input, Output, Int, SGDStep) -> Void = {
    sgdLoop($0, $1, $2, $3, $4)
  }
  public var adamW: @Sendable (Output, Input, Output, Output, Int, AdamWStep) -> Void = {
    adamWLoop($0, $1, $2, $3, $4, $5)
  }
  public var matrixProduct: @Sendable (Input, Input, Int, Int, Int, Bool, Output) -> Void =
    matrixProductReference
}
