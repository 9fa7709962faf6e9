public import LockstepTensors

/// The numbers that shape an affine map of rows: weights as PyTorch lays them out.
public struct LinearGeometry: Hashable, Sendable {
  /// The rows.
  public let rows: Int
  /// The numbers of a row of the input.
  public let inputs: Int
  /// The numbers of a row of the output.
  public let outputs: Int
  /// Whether a bias is added.
  public let hasBias: Bool
  /// In what numbers input and output are stored.
  public let precision: Precision

  /// Creates a geometry.
  public init(rows: Int, inputs: Int, outputs: Int, hasBias: Bool, precision: Precision) {
    self.rows = rows
    self.inputs = inputs
    self.outputs = outputs
    self.hasBias = hasBias
    self.precision = precision
  }
}

/// An affine map of rows, y = x · Wᵀ + b, prepared for one geometry.
///
/// Weights, bias and their gradients are float32 in either precision; in bfloat16 each pass makes a copy of the
/// weights, rounded and in the layout that its primitive asks for. Sums are float32. One thread at a time may
/// use it.
public final class LinearMap {
  /// The geometry that it was prepared for.
  public let geometry: LinearGeometry
  private let implementation: any LinearMapImplementation

  /// Prepares a map: matrix products in float32, oneDNN's primitives in bfloat16, where it has them.
  public convenience init(_ geometry: LinearGeometry) {
    self.init(geometry, reference: !OneDNN.isUsed)
  }

  /// Prepares a map, in bfloat16 by float32 products of rounded numbers if asked.
  public init(_ geometry: LinearGeometry, reference: Bool) {
    self.geometry = geometry
    #if ONEDNN
      if geometry.precision == .bfloat16 && !reference && OneDNN.canUseBFloat16 {
        implementation = OneDNNLinearMap(geometry)
        return
      }
    #endif
    implementation = ProductLinearMap()
  }

  /// y `[…, outputs]` of x `[…, inputs]`.
  public func forward(_ x: Tensor, weights: Tensor, bias: Tensor?) -> Tensor {
    check(x, geometry.inputs, weights)
    precondition((bias != nil) == geometry.hasBias)
    let y = Tensor.uninitialized(
      Shape(x.shape.dimensions.dropLast() + [geometry.outputs]), geometry.precision)
    if y.count > 0 {
      implementation.forward(x, weights: weights, bias: bias, into: y)
    }
    return y
  }

  /// dx of dy, in `shape`.
  public func inputGradient(_ dy: Tensor, weights: Tensor, shape: Shape) -> Tensor {
    check(dy, geometry.outputs, weights)
    let dx = Tensor.uninitialized(shape, geometry.precision)
    precondition(dx.shape.rows == geometry.rows && dx.shape.channels == geometry.inputs)
    if dx.count > 0 {
      implementation.inputGradient(dy, weights: weights, into: dx)
    }
    return dx
  }

  /// Adds the gradients of weights and bias to `gradient` and `bias`, or writes them where not asked to
  /// accumulate.
  public func weightGradient(
    _ x: Tensor, _ dy: Tensor, into gradient: Tensor, accumulating: Bool, bias: Tensor?,
    accumulatingBias: Bool
  ) {
    precondition((bias != nil) == geometry.hasBias && x.shape.rows == geometry.rows)
    guard x.count > 0 else {
      if !accumulating { gradient.fill(with: 0) }
      if !accumulatingBias { bias?.fill(with: 0) }
      return
    }
    implementation.weightGradient(
      x, dy, into: gradient, accumulating: accumulating, bias: bias,
      accumulatingBias: accumulatingBias)
  }

  private func check(_ x: Tensor, _ channels: Int, _ weights: Tensor) {
    precondition(x.shape.rows == geometry.rows && x.shape.channels == channels)
    precondition(x.precision == geometry.precision)
    precondition(weights.shape == [geometry.outputs, geometry.inputs])
  }
}

/// What a library, or matrix products, have to offer; no tensor is empty.
protocol LinearMapImplementation {
  func forward(_ x: Tensor, weights: Tensor, bias: Tensor?, into y: Tensor)
  func inputGradient(_ dy: Tensor, weights: Tensor, into dx: Tensor)
  func weightGradient(
    _ x: Tensor, _ dy: Tensor, into gradient: Tensor, accumulating: Bool, bias: Tensor?,
    accumulatingBias: Bool)
}

/// By matrix products in float32: what float32 uses, and for bfloat16 the reference, which stands in where
/// there is no faster way.
struct ProductLinearMap: LinearMapImplementation {
  func forward(_ x: Tensor, weights: Tensor, bias: Tensor?, into y: Tensor) {
    let product = y.precision == .float32 ? y : .uninitialized(y.shape)
    Kernel.matrixProduct(
      Operand(Kernel.converted(x, to: .float32)), .transpose(weights.rounded(to: y.precision)),
      into: product)
    if let bias { Kernel.addRow(bias, to: product) }
    if y.precision == .bfloat16 { Kernel.convert(product, into: y) }
  }

  func inputGradient(_ dy: Tensor, weights: Tensor, into dx: Tensor) {
    let product = dx.precision == .float32 ? dx : .uninitialized(dx.shape)
    Kernel.matrixProduct(
      Operand(Kernel.converted(dy, to: .float32)), Operand(weights.rounded(to: dx.precision)),
      into: product)
    if dx.precision == .bfloat16 { Kernel.convert(product, into: dx) }
  }

  func weightGradient(
    _ x: Tensor, _ dy: Tensor, into gradient: Tensor, accumulating: Bool, bias: Tensor?,
    accumulatingBias: Bool
  ) {
    Kernel.matrixProduct(
      .transpose(Kernel.converted(dy, to: .float32)),
      Operand(Kernel.converted(x, to: .float32)), into: gradient, accumulating: accumulating)
    guard let bias else { return }
    if !accumulatingBias { bias.fill(with: 0) }
    Kernel.accumulate(Kernel.columnSums(dy)[...], into: bias)
  }
}

extension Tensor {
  /// The elements of a float32 tensor, rounded to what `precision` holds; itself for float32.
  func rounded(to precision: Precision) -> Tensor {
    guard precision == .bfloat16 else { return self }
    return Kernel.converted(Kernel.converted(self, to: .bfloat16), to: .float32)
  }
}
