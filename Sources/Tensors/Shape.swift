/// The extents of a tensor, outermost first.
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  /// The extent of each axis.
  public let dimensions: [Int]

  /// Creates a shape; no extent may be negative.
  public init(_ dimensions: [Int]) {
    precondition(dimensions.allSatisfy { $0 >= 0 }, "negative extent in \(dimensions)")
    self.dimensions = dimensions
    count = dimensions.reduce(1, *)
    channels = dimensions.last ?? 1
    rows = dimensions.dropLast().reduce(1, *)
  }

  /// Creates a shape from its extents.
  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The number of axes.
  public var rank: Int { dimensions.count }
  /// The number of elements.
  public let count: Int
  /// The extent of one axis.
  public subscript(axis: Int) -> Int { dimensions[axis] }
  /// The innermost extent: the channels of an activation.
  public let channels: Int
  /// Every extent but the innermost, multiplied: the rows of `[rows, channels]`.
  public let rows: Int
  /// Every extent between the outermost and the innermost, multiplied: positions of a sample.
  public var positions: Int { dimensions.dropFirst().dropLast().reduce(1, *) }

  /// The extents in brackets, such as `[64, 32, 32, 16]`.
  public var description: String { "\(dimensions)" }
}
