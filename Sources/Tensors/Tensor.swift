/// A dense row-major array of numbers with a shape: a view of a ``Storage``.
///
/// Activations are channels-last: `[N, C]`, `[N, T, C]` or `[N, H, W, C]`. A kernel writes a
/// tensor once, when it makes it; afterwards it is read only. The exceptions own their storage
/// and say so: parameters, their gradients and optimizer state.
///
/// Elements are float32, or bfloat16 where activations are stored so.
public struct Tensor: Sendable {
  /// The extents, outermost first.
  public let shape: Shape
  /// Where in its storage this view begins.
  public let offset: Int
  // One of the two; an enumeration of both could not be asked whether its storage is shared.
  private var wide: Storage<Float>?
  private var narrow: Storage<BFloat16>?

  /// The number of elements.
  public var count: Int { shape.count }
  /// The range of its storage that this tensor covers.
  public var range: Range<Int> { offset..<offset + count }
  /// In what numbers the elements are stored.
  public var precision: Precision { wide == nil ? .bfloat16 : .float32 }

  /// The memory of a float32 tensor, shared by all views of it.
  public var storage: Storage<Float> {
    guard let wide else { preconditionFailure("a bfloat16 tensor where float32 is needed") }
    return wide
  }

  /// The memory of a bfloat16 tensor, shared by all views of it.
  public var narrowStorage: Storage<BFloat16> {
    guard let narrow else { preconditionFailure("a float32 tensor where bfloat16 is needed") }
    return narrow
  }

  /// Views `storage` from `offset` as a tensor of `shape`.
  public init(_ storage: Storage<Float>, offset: Int = 0, shape: Shape) {
    self.init(storage, nil, holding: storage.count, offset, shape)
  }

  /// Views `storage` from `offset` as a bfloat16 tensor of `shape`.
  public init(_ storage: Storage<BFloat16>, offset: Int = 0, shape: Shape) {
    self.init(nil, storage, holding: storage.count, offset, shape)
  }

  private init(
    _ wide: Storage<Float>?, _ narrow: Storage<BFloat16>?, holding: Int, _ offset: Int,
    _ shape: Shape
  ) {
    precondition(
      offset >= 0 && offset + shape.count <= holding,
      "a tensor of shape \(shape) at \(offset) does not fit into \(holding) elements")
    (self.wide, self.narrow, self.offset, self.shape) = (wide, narrow, offset, shape)
  }

  /// The view of as many elements as `shape` has, from element `first` of this view on.
  private func view(from first: Int, _ shape: Shape) -> Tensor {
    Tensor(wide, narrow, holding: wide?.count ?? narrow?.count ?? 0, offset + first, shape)
  }

  /// Creates a tensor; `elements.count` must equal `shape.count`.
  public init(_ elements: [Float], shape: Shape) {
    precondition(
      elements.count == shape.count,
      "a tensor of shape \(shape) needs \(shape.count) elements, got \(elements.count)")
    self.init(Storage(elements), shape: shape)
  }

  /// A tensor whose elements are whatever the memory held.
  public static func uninitialized(_ shape: Shape, _ precision: Precision = .float32) -> Tensor {
    switch precision {
    case .float32: Tensor(Storage<Float>(count: shape.count), shape: shape)
    case .bfloat16: Tensor(Storage<BFloat16>(count: shape.count), shape: shape)
    }
  }

  /// A tensor with every element `value`.
  public static func filled(
    _ shape: Shape, with value: Float, _ precision: Precision = .float32
  ) -> Tensor {
    let tensor = uninitialized(shape, precision)
    tensor.fill(with: value)
    return tensor
  }

  /// A tensor of zeros.
  public static func zeros(_ shape: Shape, _ precision: Precision = .float32) -> Tensor {
    filled(shape, with: 0, precision)
  }

  /// Whether no other tensor shares the memory, so that it may be written over.
  public mutating func isUniquelyReferenced() -> Bool {
    wide == nil ? isKnownUniquelyReferenced(&narrow) : isKnownUniquelyReferenced(&wide)
  }

  /// A copy of the elements in row-major order, as float32.
  public var elements: [Float] {
    wide?.copy(range) ?? narrowStorage.copy(range).map(\.float)
  }

  /// Whether no element of a float32 tensor is an infinity or no number.
  public var isFinite: Bool {
    storage.withMutableSpan(range) { span in
      // Without the sign a larger pattern is a larger magnitude, and infinity is above all that is finite.
      var largest: UInt32 = 0
      for i in 0..<span.count { largest = max(largest, span[i].bitPattern & 0x7fff_ffff) }
      return largest < Float.infinity.bitPattern
    }
  }

  /// The same elements under another shape with as many.
  public func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.count == count, "\(self.shape) cannot be read as \(shape)")
    return view(from: 0, shape)
  }

  /// The view of the samples in `range` of the outermost axis.
  public func samples(_ range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= shape[0])
    let each = shape.dimensions.dropFirst().reduce(1, *)
    return view(
      from: range.lowerBound * each, Shape([range.count] + shape.dimensions.dropFirst()))
  }

  /// The view of part `index` of the elements, when they are cut into parts of `shape`.
  public func part(_ index: Int, shape: Shape) -> Tensor {
    precondition(index >= 0 && (index + 1) * shape.count <= count)
    return view(from: index * shape.count, shape)
  }

  /// A tensor of its own with the same elements.
  public func copy() -> Tensor {
    let result = Tensor.uninitialized(shape, precision)
    result.write(self)
    return result
  }

  /// Overwrites the elements with those of `source`, which has as many, of the same precision.
  public func write(_ source: Tensor) {
    precondition(source.count == count, "\(source.shape) cannot be copied to \(shape)")
    if let wide {
      wide.write(source.storage, source.range, at: offset)
    } else {
      narrowStorage.write(source.narrowStorage, source.range, at: offset)
    }
  }

  /// Overwrites the elements, rounded to the tensor's precision.
  public func write(_ elements: [Float]) {
    precondition(elements.count == count, "\(elements.count) elements for shape \(shape)")
    if let wide {
      wide.write(elements, at: offset)
    } else {
      narrowStorage.write(elements.map { BFloat16($0) }, at: offset)
    }
  }

  /// Overwrites every element with `value`, rounded to the tensor's precision.
  public func fill(with value: Float) {
    if let wide {
      wide.fill(range, with: value)
    } else {
      narrowStorage.fill(range, with: BFloat16(value))
    }
  }
}

/// Between PyTorch's order of axes and ours.
extension Tensor {
  /// `[N, C, positions…]` as `[N, positions…, C]`.
  public func channelsLast() -> Tensor {
    guard shape.rank > 2 else { return self }
    let d = shape.dimensions
    return transposed(
      samples: d[0], rows: d[1], columns: d[2...].reduce(1, *),
      shape: Shape([d[0]] + d[2...] + [d[1]]))
  }

  /// `[N, positions…, C]` as `[N, C, positions…]`.
  public func channelsFirst() -> Tensor {
    guard shape.rank > 2 else { return self }
    let d = shape.dimensions
    return transposed(
      samples: d[0], rows: shape.positions, columns: shape.channels,
      shape: Shape([d[0], shape.channels] + d[1..<d.count - 1]))
  }

  /// Swaps the two axes of `samples` matrices of `rows` × `columns`.
  private func transposed(samples: Int, rows: Int, columns: Int, shape: Shape) -> Tensor {
    let source = elements
    var result = [Float](repeating: 0, count: count)
    for n in 0..<samples {
      let base = n * rows * columns
      for row in 0..<rows {
        for column in 0..<columns {
          result[base + column * rows + row] = source[base + row * columns + column]
        }
      }
    }
    return Tensor(result, shape: shape)
  }
}
