/// A dense row-major array of `Float` with a shape: a view of a ``Storage``.
///
/// Activations are channels-last: `[N, C]`, `[N, T, C]` or `[N, H, W, C]`. A kernel writes a
/// tensor once, when it makes it; afterwards it is read only. The exceptions own their storage
/// and say so: parameters, their gradients and optimizer state.
public struct Tensor: Sendable {
  /// The extents, outermost first.
  public let shape: Shape
  /// The memory, shared by all views of it.
  public private(set) var storage: Storage<Float>
  /// Where in `storage` this view begins.
  public let offset: Int

  /// The number of elements.
  public var count: Int { shape.count }
  /// The range of `storage` that this tensor covers.
  public var range: Range<Int> { offset..<offset + count }

  /// Views `storage` from `offset` as a tensor of `shape`.
  public init(_ storage: Storage<Float>, offset: Int = 0, shape: Shape) {
    precondition(
      offset >= 0 && offset + shape.count <= storage.count,
      "a tensor of shape \(shape) at \(offset) does not fit into \(storage.count) elements")
    self.shape = shape
    self.storage = storage
    self.offset = offset
  }

  /// Creates a tensor; `elements.count` must equal `shape.count`.
  public init(_ elements: [Float], shape: Shape) {
    precondition(
      elements.count == shape.count,
      "a tensor of shape \(shape) needs \(shape.count) elements, got \(elements.count)")
    self.init(Storage(elements), shape: shape)
  }

  /// A tensor whose elements are whatever the memory held.
  public static func uninitialized(_ shape: Shape) -> Tensor {
    Tensor(Storage(count: shape.count), shape: shape)
  }

  /// A tensor with every element `value`.
  public static func filled(_ shape: Shape, with value: Float) -> Tensor {
    let tensor = uninitialized(shape)
    tensor.storage.fill(tensor.range, with: value)
    return tensor
  }

  /// A tensor of zeros.
  public static func zeros(_ shape: Shape) -> Tensor { filled(shape, with: 0) }

  /// Whether no other tensor shares the memory, so that it may be written over.
  public mutating func isUniquelyReferenced() -> Bool { isKnownUniquelyReferenced(&storage) }

  /// A copy of the elements in row-major order.
  public var elements: [Float] { storage.copy(range) }

  /// Whether no element is an infinity or no number.
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
    return Tensor(storage, offset: offset, shape: shape)
  }

  /// The view of the samples in `range` of the outermost axis.
  public func samples(_ range: Range<Int>) -> Tensor {
    precondition(range.lowerBound >= 0 && range.upperBound <= shape[0])
    let each = shape.dimensions.dropFirst().reduce(1, *)
    return Tensor(
      storage, offset: offset + range.lowerBound * each,
      shape: Shape([range.count] + shape.dimensions.dropFirst()))
  }

  /// The view of part `index` of the elements, when they are cut into parts of `shape`.
  public func part(_ index: Int, shape: Shape) -> Tensor {
    precondition(index >= 0 && (index + 1) * shape.count <= count)
    return Tensor(storage, offset: offset + index * shape.count, shape: shape)
  }

  /// A tensor of its own with the same elements.
  public func copy() -> Tensor {
    let result = Tensor.uninitialized(shape)
    result.write(self)
    return result
  }

  /// Overwrites the elements with those of `source`, which has as many.
  public func write(_ source: Tensor) {
    precondition(source.count == count, "\(source.shape) cannot be copied to \(shape)")
    storage.write(source.storage, source.range, at: offset)
  }

  /// Overwrites the elements.
  public func write(_ elements: [Float]) {
    precondition(elements.count == count, "\(elements.count) elements for shape \(shape)")
    storage.write(elements, at: offset)
  }

  /// Overwrites every element with `value`.
  public func fill(with value: Float) { storage.fill(range, with: value) }
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
